//! The workloads and demos, in namespaces of their own, judged by `ss`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::child::{Process, output};
use testkit::demo::{self, Kind};
use testkit::netns::{Netns, inode_of};
use testkit::{require, ss, wait, workload};

const EXE: &str = env!("CARGO_BIN_EXE_workload");

/// How long anything may take on a machine with much else to do.
const SOON: Duration = Duration::from_secs(10);

/// SIGTERM, number 15, in a mask of signals.
const SIGTERM: u64 = 1 << 14;

fn start(netns: &Netns, args: &[&str]) -> Result<Process> {
    let mut command = netns.command(EXE)?;
    command.args(args);
    Process::spawn(command)
}

/// Waits until `ss` counts `count` sockets of `state`.
fn counts(pid: u32, family: &'static str, state: &'static str, count: u64) -> Result<()> {
    let mut last = 0;
    wait::until(&format!("{count} {family} {state}"), SOON, || {
        last = ss::states(pid)?.get(&(family, state)).copied().unwrap_or(0);
        Ok((last == count).then_some(()))
    })
    .map_err(|error| error.context(format!("last seen: {last}")))
}

#[test]
fn connects_a_known_number_of_times() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    let netns = Netns::new("kit-connect")?;
    let _server = start(&netns, &["serve", "8080"])?;
    counts(netns.pid(), "ipv6", "listen", 1)?;
    let said = output(
        netns
            .command(EXE)?
            .args(["connect", "127.0.0.1:8080", "100"]),
    )?;
    assert_eq!(said, "connected 100\n");
    // The clients close first, so theirs are in TIME_WAIT and the server's are gone.
    counts(netns.pid(), "ipv4", "time_wait", 100)?;
    let _held = start(&netns, &["connect", "[::1]:8080", "7", "--hold"])?;
    counts(netns.pid(), "ipv6", "established", 14)?;
    let snmp = netns.read("net/snmp")?;
    let opens = snmp.lines().filter(|line| line.starts_with("Tcp: ")).nth(1);
    assert_eq!(
        opens.and_then(|l| l.split(' ').nth(5)),
        Some("107"),
        "{snmp}"
    );
    Ok(())
}

#[test]
fn leaks_what_it_says() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    let netns = Netns::new("kit-leak")?;
    let _server = start(&netns, &["leak-close-wait", "127.0.0.1:80", "5"])?;
    counts(netns.pid(), "ipv4", "listen", 1)?;
    output(netns.command(EXE)?.args(["connect", "127.0.0.1:80", "8"]))?;
    counts(netns.pid(), "ipv4", "close_wait", 5)?;
    counts(netns.pid(), "ipv4", "time_wait", 3)
}

#[test]
fn lives_on_without_its_leader() -> Result<()> {
    testkit::require!(require::root());
    let netns = Netns::new("kit-leaderless")?;
    let server = start(&netns, &["leaderless", "127.0.0.1:80"])?;
    let stat = format!("/proc/{}/stat", server.pid());
    wait::until("a zombie leader", Duration::from_secs(5), || {
        Ok(std::fs::read_to_string(&stat)?
            .contains(") Z ")
            .then_some(()))
    })?;
    assert_eq!(inode_of(server.pid())?, netns.inode());
    let said = output(netns.command(EXE)?.args(["connect", "127.0.0.1:80", "1"]))?;
    assert_eq!(said, "connected 1\n");
    Ok(())
}

#[test]
fn demos_show_what_they_say() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    let demos = demo::KINDS.map(|kind| demo::spawn(Path::new(EXE), kind));
    for demo in demos {
        let demo = demo?;
        let pid = demo.netns.pid();
        match demo.kind {
            Kind::Web => {
                counts(pid, "ipv4", "established", 20)?;
                counts(pid, "ipv6", "established", 20 + 2 * 5)?;
            }
            Kind::CloseWait => counts(pid, "ipv4", "close_wait", 5)?,
            Kind::Churn => {
                wait::until("10 and more in TIME_WAIT", SOON, || {
                    let states = ss::states(pid)?;
                    let count = states.get(&("ipv4", "time_wait"));
                    Ok(count.is_some_and(|count| *count >= 10).then_some(()))
                })?;
            }
            Kind::Backlog => {
                counts(pid, "ipv4", "syn_sent", workload::WAITING as u64)?;
                assert_eq!(ss::listeners(pid)?, [(8080, "ipv4", 9, 8)]);
            }
            Kind::Udp => {
                wait::until("six UDP sockets", SOON, || {
                    let table = demo.netns.read("net/sockstat")?;
                    Ok(table.contains("UDP: inuse 6 ").then_some(()))
                })?;
                wait::until("datagrams over IPv6", SOON, || {
                    let table = demo.netns.read("net/snmp6")?;
                    let mut lines = table.lines().map(str::split_whitespace);
                    let line = lines.find_map(|mut words| {
                        (words.next() == Some("Udp6InDatagrams")).then(|| words.next())?
                    });
                    Ok(line.is_some_and(|count| count != "0").then_some(()))
                })?;
            }
        }
    }
    Ok(())
}

#[test]
fn ends_when_told_and_says_what_is_wrong() -> Result<()> {
    let mut command = Command::new(EXE);
    command.arg("pause");
    let mut pause = Process::spawn(command)?;
    let status = format!("/proc/{}/status", pause.pid());
    wait::until("it handles SIGTERM", SOON, || {
        let status = std::fs::read_to_string(&status)?;
        let mut lines = status.lines();
        let mask = lines.find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = u64::from_str_radix(mask.context("no SigCgt")?.trim(), 16)?;
        Ok((mask & SIGTERM != 0).then_some(()))
    })?;
    pause.terminate()?;
    assert_eq!(pause.wait(Duration::from_secs(2))?.code(), Some(0));
    let wrong = Command::new(EXE).arg("fly").output()?;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("usage:"));
    Ok(())
}
