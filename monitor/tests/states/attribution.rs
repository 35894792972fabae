//! Whose sockets are whose: containers of one namespace, and of the host's, told apart by the
//! cgroup that a socket was made in.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use testkit::cgroup::Cgroup;
use testkit::child::Process;
use testkit::metrics::Metrics;
use testkit::netns::Netns;
use testkit::published::{self, SOCKETS};
use testkit::{image, require, ss, wait};

use crate::{SOON, SOURCES, monitor};

fn workload(cgroup: &Cgroup, netns: Option<&Netns>, args: &[&str]) -> Result<Process> {
    let program = image::workload()?;
    let mut command = match netns {
        Some(netns) => netns.command(program)?,
        None => Command::new(program),
    };
    command.args(args);
    cgroup.put(&mut command)?;
    Process::spawn(command)
}

/// Waits until a namespace has so many established sockets, by `ss`.
fn established(pid: u32, port: u16, count: usize) -> Result<()> {
    wait::until("the connections are there", SOON, || {
        let port = format!(":{port}");
        let filter = [
            "-Htn",
            "state",
            "established",
            "(",
            "sport",
            "=",
            &port,
            "or",
        ];
        let filter = [&filter[..], &["dport", "=", &port, ")"]].concat();
        let seen = ss::run(pid, &filter)?.lines().count();
        Ok((seen == count).then_some(()))
    })
}

fn count(metrics: &Metrics, container: &str, state: &str) -> f64 {
    metrics.sum(SOCKETS, &[("container", container), ("state", state)])
}

#[test]
fn containers_of_one_namespace_are_told_apart() -> Result<()> {
    const HELD: usize = 30;
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::cgroup2(), require::program("ss"));
    let (server, client) = (Cgroup::docker()?, Cgroup::docker()?);
    let nobody = Cgroup::plain()?;
    let netns = Netns::new("st-pod")?;
    let serving = workload(&server, Some(&netns), &["serve", "127.0.0.1:80"])?;
    wait::until("it listens", SOON, || {
        let table = netns.read("net/sockstat")?;
        Ok(table.contains("TCP: inuse 1 ").then_some(()))
    })?;
    let connect = ["connect", "127.0.0.1:80", &HELD.to_string(), "--hold"];
    let connected = workload(&client, Some(&netns), &connect)?;
    // A process of no container, and what closed connections leave, stand under the owner.
    let other = workload(
        &nobody,
        Some(&netns),
        &["connect", "127.0.0.1:80", "5", "--hold"],
    )?;
    let ended = workload(&client, Some(&netns), &["connect", "127.0.0.1:80", "7"])?;
    established(netns.pid(), 80, 2 * (HELD + 5))?;
    wait::until("the others have ended", SOON, || {
        Ok((ss::total(&ss::states(netns.pid())?, "time_wait") == 7).then_some(()))
    })?;
    for source in SOURCES {
        let monitor = monitor(source, &[])?;
        let metrics = monitor.metrics()?;
        let (owner, joined) = (server.short_id(), client.short_id());
        for (container, state, expected) in [
            (owner, "listen", 1),
            (owner, "established", HELD + 5 + 5),
            (owner, "time_wait", 7),
            (joined, "listen", 0),
            (joined, "established", HELD),
            (joined, "time_wait", 0),
        ] {
            let seen = count(&metrics, container, state);
            ensure!(
                seen == expected as f64,
                "{source}: {container} has {seen} in {state}, expected {expected}"
            );
        }
        // The sum over the namespace is whole.
        let mut sum = published::states(&metrics, owner)?;
        for (key, count) in published::states(&metrics, joined)? {
            *sum.entry(key).or_default() += count;
        }
        ensure!(sum == ss::states(netns.pid())?, "{source}: {sum:?}");
        ensure!(
            published::queues(&metrics, owner)?.len() == 1
                && published::queues(&metrics, joined)?.is_empty()
        );
        monitor.stop()?;
    }
    drop((serving, connected, other, ended));
    Ok(())
}

#[test]
fn containers_on_the_host_s_network_are_told_apart() -> Result<()> {
    const HELD: usize = 23;
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::cgroup2(), require::program("ss"));
    // A port that nobody else has: loopback of the host.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let (server, client) = (Cgroup::docker()?, Cgroup::docker()?);
    let address = format!("127.0.0.1:{port}");
    let serving = workload(&server, None, &["serve", &address])?;
    let own = std::process::id();
    wait::until("it listens", SOON, || {
        let listeners = ss::listeners(own)?;
        Ok(listeners
            .iter()
            .any(|listener| listener.0 == port)
            .then_some(()))
    })?;
    let connect = ["connect", &*address, &HELD.to_string(), "--hold"];
    let connected = workload(&client, None, &connect)?;
    established(own, port, 2 * HELD)?;
    for source in SOURCES {
        for more in [&[][..], &["--host-network"]] {
            let monitor = monitor(source, more)?;
            let metrics = monitor.metrics()?;
            for (cgroup, listening) in [(&server, 1.0), (&client, 0.0)] {
                let id = [("container_id", cgroup.id())];
                let info = metrics.one("container_network_info", &id)?;
                let mode = info.labels.get("network_mode").map(String::as_str);
                ensure!(mode == Some("host"), "{info:?}");
                // It has no counters of a network namespace: those are the host's.
                let counters = metrics.matching(
                    "container_network_sockets_used",
                    &[("container", cgroup.short_id())],
                );
                ensure!(counters.is_empty(), "{counters:?}");
                let container = info.labels.get("container").context("no name")?;
                let seen = (
                    count(&metrics, container, "established"),
                    count(&metrics, container, "listen"),
                );
                ensure!(seen == (HELD as f64, listening), "{source}: {seen:?}");
            }
            // The host's own sockets are the host's, and only where they are asked for.
            let host = metrics.matching(SOCKETS, &[("container", "/")]).len();
            ensure!(
                (host > 0) != more.is_empty(),
                "{source}: {host} rows of the host"
            );
            monitor.stop()?;
        }
    }
    drop((serving, connected));
    Ok(())
}
