//! Where the program cannot be had: one clear line, and the rest goes on; or an end, where it is
//! required.

use std::process::Command;

use anyhow::{Result, ensure};
use testkit::child::{find_program, finish};
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::{require, workload};

use crate::{SOON, TRANSITIONS, close_to, expect};

const EXE: &str = env!("CARGO_BIN_EXE_container-monitor");
const SERVE: [&str; 5] = [
    "serve",
    "--discovery",
    "cgroup",
    "--web.listen-address",
    "127.0.0.1:0",
];

/// Demands one warning that has all of `words`, no transitions, and all else.
fn goes_on_without(monitor: &Monitor, words: &[&str]) -> Result<()> {
    let netns = Netns::new("eb-without")?;
    netns.enter(|| workload::connect_to_self("127.0.0.1:80".parse()?, 5))?;
    let metrics = monitor.metrics()?;
    let container = metrics.container_in(netns.inode())?;
    let opens = [("container", container)];
    ensure!(metrics.value("container_network_tcp_active_opens_total", &opens)? == 5.0);
    ensure!(metrics.series(TRANSITIONS).is_empty(), "transitions");
    ensure!(metrics.value("container_monitor_ebpf_attached", &[])? == 0.0);
    let collector = [("collector", "transitions")];
    ensure!(metrics.value("container_monitor_collector_success", &collector)? == 0.0);
    let log = monitor.log();
    let warnings: Vec<_> = log.iter().filter(|line| line.contains("eBPF")).collect();
    ensure!(warnings.len() == 1, "{log:?}");
    for word in words {
        ensure!(warnings[0].contains(word), "no {word} in {warnings:?}");
    }
    Ok(())
}

/// Demands the end, with one line that has all of `words`.
fn ends(mut command: Command, words: &[&str]) -> Result<()> {
    command.arg("--require-ebpf");
    let output = finish(command, SOON)?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(1),
        "{:?}: {log}",
        output.status
    );
    ensure!(log.lines().count() == 1 && log.contains("ERROR"), "{log}");
    for word in words.iter().chain(&["--require-ebpf"]) {
        ensure!(log.contains(word), "no {word} in {log}");
    }
    Ok(())
}

#[test]
fn no_btf() -> Result<()> {
    testkit::require!(require::root(), require::bpf());
    let empty = tempfile::tempdir()?;
    let command = || {
        let mut command = Command::new(EXE);
        command.args(SERVE).arg("--path.sysfs").arg(empty.path());
        command
    };
    let words = ["no BTF at", "kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"];
    let monitor = Monitor::spawn(command())?;
    goes_on_without(&monitor, &words)?;
    monitor.stop()?;
    ends(command(), &words)
}

#[test]
fn no_right() -> Result<()> {
    testkit::require!(require::root(), require::btf(), require::program("setpriv"));
    let words = ["CAP_BPF", "CAP_PERFMON"];
    let less = "-sys_admin,-bpf,-perfmon";
    let monitor = Monitor::spawn(bounded(less)?)?;
    goes_on_without(&monitor, &words)?;
    monitor.stop()?;
    ends(bounded(less)?, &words)
}

/// Without CAP_SYS_ADMIN no namespace can be entered, and so no cookie be asked for.
#[test]
fn no_right_to_enter_namespaces() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::program("setpriv"));
    let netns = Netns::new("eb-plain-root")?;
    let monitor = Monitor::spawn(bounded("-sys_admin")?)?;
    netns.enter(|| workload::connect_to_self("127.0.0.1:80".parse()?, 100))?;
    let metrics = monitor.metrics()?;
    let container = metrics.container_in(netns.inode())?;
    let labels = [("container", container), ("new_state", "syn_sent")];
    let seen = metrics.sum(TRANSITIONS, &labels) as u64;
    ensure!(close_to(seen, 100), "{seen}: {:?}", monitor.log());
    monitor.stop()?;
    Ok(())
}

/// The monitor with fewer capabilities.
fn bounded(less: &str) -> Result<Command> {
    let mut command = Command::new(find_program("setpriv").unwrap_or_default());
    command.arg(format!("--bounding-set={less}"));
    command.arg(EXE).args(SERVE);
    Ok(command)
}

#[test]
fn switched_off() -> Result<()> {
    testkit::require!(require::root());
    let netns = Netns::new("eb-off")?;
    let args = [&SERVE[..], &["--no-collector.transitions"]].concat();
    let monitor = Monitor::start(EXE, &args)?;
    let metrics = monitor.metrics()?;
    expect(&metrics, metrics.container_in(netns.inode())?, &[])?;
    ensure!(metrics.series(TRANSITIONS).is_empty());
    let log = monitor.log();
    ensure!(!log.iter().any(|line| line.contains("eBPF")), "{log:?}");
    let collector = [("collector", "transitions")];
    let success = "container_monitor_collector_success";
    ensure!(metrics.matching(success, &collector).is_empty());
    monitor.stop()?;
    Ok(())
}
