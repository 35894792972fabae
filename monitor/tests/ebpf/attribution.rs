//! Under whose name transitions stand: the container's by its cgroup, else the owner's.

use std::process::Command;

use anyhow::{Result, bail, ensure};
use testkit::cgroup::Cgroup;
use testkit::child::{Process, output};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::transitions::Pair;
use testkit::{image, require, wait, workload};

use crate::{SOON, TRANSITIONS, close_to, expect, monitor};

#[test]
fn a_thousand_connections_are_a_thousand() -> Result<()> {
    const COUNT: u64 = 1_000;
    testkit::require!(require::root(), require::bpf(), require::btf());
    let (busy, quiet) = (Netns::new("eb-busy")?, Netns::new("eb-quiet")?);
    let monitor = monitor(&[])?;
    busy.enter(|| workload::connect_to_self("127.0.0.1:80".parse()?, COUNT as usize))?;
    let pairs: [Pair; 10] = [
        ("close", "syn_sent"),
        ("syn_sent", "established"),
        ("listen", "syn_recv"),
        ("syn_recv", "established"),
        ("established", "fin_wait1"),
        ("fin_wait1", "fin_wait2"),
        ("fin_wait2", "close"),
        ("established", "close_wait"),
        ("close_wait", "last_ack"),
        ("last_ack", "close"),
    ];
    let mut expected: Vec<_> = pairs.map(|pair| (pair, COUNT)).into();
    expected.extend([(("close", "listen"), 1), (("listen", "close"), 1)]);
    let metrics = monitor.metrics()?;
    expect(&metrics, metrics.container_in(busy.inode())?, &expected)?;
    expect(&metrics, metrics.container_in(quiet.inode())?, &[])?;
    ensure!(metrics.value("container_monitor_ebpf_attached", &[])? == 1.0);
    let events = metrics.value("container_monitor_ebpf_events_total", &[])?;
    ensure!(events >= 0.99 * 10.0 * COUNT as f64, "{events} events");
    metrics.one("container_monitor_ebpf_missed_events_total", &[])?;
    ensure!(metrics.value("container_monitor_ebpf_map_full_total", &[])? == 0.0);
    monitor.stop()?;
    Ok(())
}

/// A child in a cgroup and a namespace.
fn start(cgroup: &Cgroup, netns: &Netns, args: &[&str]) -> Result<Command> {
    let mut command = netns.command(image::workload()?)?;
    command.args(args);
    cgroup.put(&mut command)?;
    Ok(command)
}

fn seen(metrics: &Metrics, container: &str, (old, new): Pair) -> u64 {
    let labels = [
        ("container", container),
        ("old_state", old),
        ("new_state", new),
    ];
    metrics.sum(TRANSITIONS, &labels) as u64
}

#[test]
fn each_container_of_a_namespace_has_its_own() -> Result<()> {
    const OWN: u64 = 300;
    const OTHERS: u64 = 200;
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::cgroup2());
    let (server, client) = (Cgroup::docker()?, Cgroup::docker()?);
    let nobody = Cgroup::plain()?;
    let monitor = monitor(&[])?;
    let netns = Netns::new("eb-two")?;
    let serving = Process::spawn(start(&server, &netns, &["serve", "127.0.0.1:80"])?)?;
    wait::until("it listens", SOON, || {
        let table = netns.read("net/sockstat")?;
        Ok(table.contains("TCP: inuse 1 ").then_some(()))
    })?;
    let waiting = Process::spawn(start(&client, &netns, &["pause"])?)?;
    let address = "127.0.0.1:80";
    output(&mut start(
        &client,
        &netns,
        &["connect", address, &OWN.to_string()],
    )?)?;
    // Sockets of a cgroup that is no container's stand under the namespace's owner.
    output(&mut start(
        &nobody,
        &netns,
        &["connect", address, &OTHERS.to_string()],
    )?)?;

    let metrics = monitor.metrics()?;
    let counts = |pair| {
        let of = |cgroup: &Cgroup| seen(&metrics, cgroup.short_id(), pair);
        (of(&server), of(&client))
    };
    for (pair, expected) in [
        (("close", "listen"), (1, 0)),
        (("listen", "syn_recv"), (OWN + OTHERS, 0)),
        (("syn_recv", "established"), (OWN + OTHERS, 0)),
        (("established", "close_wait"), (OWN + OTHERS, 0)),
        (("close", "syn_sent"), (OTHERS, OWN)),
        (("syn_sent", "established"), (OTHERS, OWN)),
        (("established", "fin_wait1"), (OTHERS, OWN)),
    ] {
        let seen = counts(pair);
        ensure!(
            close_to(seen.0, expected.0) && close_to(seen.1, expected.1),
            "{pair:?} is {seen:?} of server and client, expected {expected:?}"
        );
        ensure!((expected.1 == 0) == (seen.1 == 0), "{pair:?}: {seen:?}");
    }
    drop((serving, waiting));
    monitor.stop()?;
    Ok(())
}

fn opened(monitor: &Monitor, netns: &Netns) -> Result<u64> {
    let metrics = monitor.metrics()?;
    let container = metrics.container_in(netns.inode())?;
    ensure!(container == "eb-reuse", "{container}");
    Ok(seen(&metrics, container, ("close", "syn_sent")))
}

/// The new namespace has the old one's number, name and entry in `/proc`: only the cookie tells
/// them apart.
#[test]
fn a_reused_inode_number_starts_at_zero() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let monitor = monitor(&[])?;
    // Another test may be faster.
    for _ in 0..5 {
        let first = Netns::new("eb-reuse")?;
        first.enter(|| workload::connect_to_self("127.0.0.1:80".parse()?, 200))?;
        let before = opened(&monitor, &first)?;
        ensure!(close_to(before, 200), "{before}");
        let Some(second) = first.reused("eb-reuse")? else {
            continue;
        };
        // Before anything happened in it, and after.
        ensure!(opened(&monitor, &second)? == 0);
        second.enter(|| workload::connect_to_self("127.0.0.1:80".parse()?, 30))?;
        let after = opened(&monitor, &second)?;
        ensure!(close_to(after, 30), "{after}");
        return Ok(());
    }
    bail!("the number went to somebody else each time")
}
