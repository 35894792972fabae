//! Coming and going: no series of what ended, nothing left over, no namespace kept alive.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use testkit::child::{find_program, output};
use testkit::files::{differences, namespace_values};
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::{require, wait};

use crate::{SOON, monitor};

#[test]
fn what_ended_has_no_series_at_the_next_scrape() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&[])?;
    for _ in 0..5 {
        let netns = Netns::new("ns-brief")?;
        let labels = [("container", "ns-brief")];
        let metrics = monitor.metrics()?;
        ensure!(metrics.container_in(netns.inode())? == "ns-brief");
        ensure!(metrics.labelled(&labels).len() > 50, "{metrics:?}");
        drop(netns);
        let left = monitor.metrics()?;
        ensure!(left.labelled(&labels).is_empty(), "{left:?}");
    }
    Ok(())
}

/// The kernel destroys a namespace when the last one who holds it lets go, and a veth pair with
/// it. So the end that stays outside tells whether the namespace is really gone.
#[test]
fn no_namespace_is_kept_alive() -> Result<()> {
    testkit::require!(require::root(), require::program("ip"));
    let ip = find_program("ip").context("no ip")?;
    let netns = Netns::new("ns-doomed")?;
    let outside = format!("cmd{}", std::process::id());
    let mut link = Command::new(ip);
    link.args(["link", "add", &outside, "type", "veth"]);
    link.args(["peer", "name", "eth9", "netns", &netns.pid().to_string()]);
    output(&mut link)?;
    // With everything on that looks into a namespace.
    let args = ["serve", "--discovery", "cgroup", "--host-network"];
    let monitor = Monitor::start(env!("CARGO_BIN_EXE_container-monitor"), &args)?;
    for _ in 0..3 {
        let metrics = monitor.metrics()?;
        let info = [("container", "ns-doomed"), ("host_interface", &*outside)];
        let info = metrics.one("container_network_info", &info)?;
        ensure!(info.labels["interface"] == "eth9", "{info:?}");
    }
    let own = std::fs::read_link("/proc/self/ns/net")?;
    for link in monitor.fds()? {
        let text = link.to_string_lossy();
        let in_proc = text.starts_with("/proc/") && (text.contains("/net") || text.contains("/ns"));
        ensure!(
            !in_proc && (!text.starts_with("net:[") || link == own),
            "{text}"
        );
    }
    for thread in std::fs::read_dir(format!("/proc/{}/task", monitor.pid()))? {
        let link = std::fs::read_link(thread?.path().join("ns/net"))?;
        ensure!(link == own, "a thread stands in {}", link.display());
    }
    let end = Path::new("/sys/class/net").join(&outside);
    ensure!(end.exists(), "the veth pair was not made");
    drop(netns);
    // No scrape helps it to let go.
    wait::until("the namespace is gone", SOON, || {
        Ok((!end.exists()).then_some(()))
    })?;
    monitor.stop()?;
    Ok(())
}

/// The kernel gives the lowest free number to a new namespace: soon it is that of a dead one.
#[test]
fn a_reused_inode_number_is_another_namespace() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&[])?;
    // Another test may be faster.
    for _ in 0..5 {
        let first = Netns::new("ns-old")?;
        let sockets = first.enter(|| Ok(std::net::TcpListener::bind("127.0.0.1:80")?))?;
        let inode = first.inode();
        ensure!(monitor.metrics()?.container_in(inode)? == "ns-old");
        drop(sockets);
        let Some(second) = first.reused("ns-new")? else {
            continue;
        };
        let values = namespace_values(second.pid())?;
        let metrics = monitor.metrics()?;
        ensure!(metrics.container_in(inode)? == "ns-new");
        ensure!(metrics.labelled(&[("container", "ns-old")]).is_empty());
        let wrong = differences(&metrics, &[("container", "ns-new")], &values, &values);
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        return Ok(());
    }
    bail!("the number went to somebody else each time")
}

#[test]
fn three_hundred_come_and_go() -> Result<()> {
    const ROUNDS: usize = 3;
    const EACH: usize = 100;
    testkit::require!(require::root());
    let monitor = monitor(&[])?;
    monitor.metrics()?;
    let fixed = descriptors(&monitor)?.1;
    let mut memory = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("ns-many-{round}");
        let namespaces = (0..EACH)
            .map(|_| Netns::new(&name))
            .collect::<Result<Vec<_>>>()?;
        let seen = monitor.metrics()?;
        for netns in &namespaces {
            let container = seen.container_in(netns.inode())?;
            ensure!(container.starts_with(&name), "{container}");
        }
        memory.push(monitor.rss_bytes()?);
        drop(namespaces);
        let left = monitor.metrics()?;
        let of_ours = |sample: &&testkit::metrics::Sample| {
            let container = sample.labels.get("container");
            container.is_some_and(|container| container.starts_with(&name))
        };
        let of_ours = left.samples.iter().find(of_ours);
        ensure!(of_ours.is_none(), "left over: {of_ours:?}");
    }
    // Other tests' namespaces have their guards too; those of dead processes must go.
    wait::until("no guard is left over", Duration::from_secs(5), || {
        monitor.metrics()?;
        let (dead, others) = descriptors(&monitor)?;
        Ok((dead == 0 && others <= fixed).then_some(()))
    })?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let memory: Vec<f64> = memory.into_iter().map(mib).collect();
    eprintln!("resident with {EACH} namespaces, in MiB: {memory:.1?}");
    ensure!(
        memory[ROUNDS - 1] < memory[0] + 4.0,
        "it grows: {memory:?} MiB"
    );
    monitor.stop()?;
    Ok(())
}

/// Descriptors of the monitor: guards on dead processes, and all that are no guard.
fn descriptors(monitor: &Monitor) -> Result<(usize, usize)> {
    let (mut dead, mut others) = (0, 0);
    for link in monitor.fds()? {
        let text = link.to_string_lossy();
        let pid = text.strip_prefix("/proc/").unwrap_or("");
        if text.ends_with(" (deleted)") {
            dead += 1;
        } else if !pid.starts_with(|c: char| c.is_ascii_digit()) {
            others += 1;
        }
    }
    Ok((dead, others))
}
