//! Sockets by state and accept queues, as published, beside the kernel's own tables.

use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Socket, Type};
use testkit::cgroup::Cgroup;
use testkit::peer::{Family, Held, Peer, State};
use testkit::published::{self, Queues};
use testkit::{proc_net_tcp, ss};

use super::container::{Container, holding};
use super::daemon::{self, SOON, Sources};

/// By how many sockets the states and `sockstat` disagree.
const MISMATCH: &str = "container_monitor_tcp_mismatch_sockets";

/// How many listeners share an address and a port.
const IN_ONE_BUCKET: u64 = 150;

/// Every state in every family, held still by a peer, and no two of a family as often.
pub(crate) fn every_state(source: &str, usually: &Sources) -> Result<String> {
    let container = Container::new()?;
    let peer = Peer::new(&container.netns)?;
    let mut held = Vec::new();
    for (number, state) in State::ALL.into_iter().enumerate() {
        let counts = [number + 1, State::ALL.len() - number, 1];
        for (family, count) in Family::ALL.into_iter().zip(counts) {
            held.push(peer.hold_many(family, state, count)?);
        }
    }
    let mut expected = ss::States::new();
    for (key, count) in held.iter().flat_map(Held::states) {
        *expected.entry(key).or_default() += count;
    }
    let monitor = daemon::start(&[&format!("--collector.tcp-states={source}")])?;
    let metrics = monitor.metrics()?;
    let judge = proc_net_tcp::states(container.netns.pid())?;
    ensure!(
        judge == expected,
        "/proc says {judge:?}, expected {expected:?}"
    );
    let seen = published::states(&metrics, container.name())?;
    ensure!(seen == expected, "{seen:?}, expected {expected:?}");
    // Our own scrapes are in that sum too.
    monitor.metrics_when(SOON / 2, |metrics| {
        let mismatch = metrics.value(MISMATCH, &[])?;
        ensure!(
            mismatch == 0.0,
            "states and sockstat disagree by {mismatch} sockets"
        );
        Ok(())
    })?;
    drop(held);
    monitor.metrics_when(SOON / 2, |metrics| {
        let left = published::states(metrics, container.name())?;
        ensure!(left.is_empty(), "left after the reset: {left:?}");
        Ok(())
    })?;
    if source == "auto" {
        daemon::keeps_to(&monitor, usually)?;
    }
    monitor.stop()?;
    Ok("exact".to_owned())
}

/// Accept queues, some with connections waiting, from every source that there is.
pub(crate) fn queues(usually: &Sources) -> Result<String> {
    let container = Container::new()?;
    let held = container.netns.enter(|| {
        let mut listeners = vec![
            listen("127.0.0.1:80", 5)?,
            listen("127.0.0.1:80", 6)?,
            listen("127.0.0.2:80", 7)?,
            listen("[::]:80", 8)?,
            listen("[::1]:443", 9)?,
        ];
        // More in one bucket than the pass looks at in one go.
        for _ in 0..IN_ONE_BUCKET {
            listeners.push(listen("127.0.0.1:81", 1)?);
        }
        let mut clients = Vec::new();
        for (address, count) in [("127.0.0.1:80", 4), ("127.0.0.2:80", 2), ("[::1]:443", 3)] {
            for _ in 0..count {
                clients.push(TcpStream::connect(address)?);
            }
        }
        Ok((listeners, clients))
    })?;
    let row = |port: &str, family: &str, length, limit| {
        ((port.to_owned(), family.to_owned()), (length, limit))
    };
    let expected = Queues::from([
        row("80", "ipv4", 6, 18),
        row("80", "ipv6", 0, 8),
        row("443", "ipv6", 3, 9),
        row("81", "ipv4", 0, IN_ONE_BUCKET),
    ]);
    // The kernel's own text has no limits.
    let mut lengths = Queues::new();
    for (port, family, length) in proc_net_tcp::listeners(container.netns.pid())? {
        let key = (port.to_string(), family.to_owned());
        lengths.entry(key).or_default().0 += length;
    }
    for source in ["auto", "sock_diag"] {
        let monitor = daemon::start(&[&format!("--collector.tcp-states={source}")])?;
        let seen = published::queues(&monitor.metrics()?, container.name())?;
        ensure!(
            seen == expected,
            "{source}: {seen:?}, expected {expected:?}"
        );
        let same = |(key, (length, _)): (&_, &(u64, u64))| {
            lengths.get(key).is_some_and(|(judge, _)| judge == length)
        };
        ensure!(seen.iter().all(same), "{seen:?}, /proc says {lengths:?}");
        if source == "auto" {
            daemon::keeps_to(&monitor, usually)?;
        }
        monitor.stop()?;
    }
    drop(held);
    Ok("exact".to_owned())
}

fn listen(address: &str, backlog: i32) -> Result<Socket> {
    let address: SocketAddr = address.parse()?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

/// Two containers in one namespace and one on the host's network: each has its own sockets.
pub(crate) fn by_cgroup() -> Result<String> {
    let owner = Container::new()?;
    let (sidecar, on_host) = (Cgroup::docker()?, Cgroup::docker()?);
    let held = [
        (
            holding(Some(&owner.netns), &owner.cgroup, 3)?,
            owner.name(),
            3,
        ),
        (
            holding(Some(&owner.netns), &sidecar, 5)?,
            sidecar.short_id(),
            5,
        ),
        (holding(None, &on_host, 7)?, on_host.short_id(), 7),
    ];
    for source in ["auto", "sock_diag"] {
        let monitor = daemon::start(&[&format!("--collector.tcp-states={source}")])?;
        let metrics = monitor.metrics()?;
        for (_, name, count) in &held {
            let seen = published::states(&metrics, name).context(source)?;
            let expected = ss::States::from([
                (("ipv4", "established"), 2 * *count as u64),
                (("ipv4", "listen"), 1),
            ]);
            if seen != expected {
                bail!("{source}: {name}: {seen:?}, expected {expected:?}");
            }
        }
        monitor.stop()?;
    }
    drop(held);
    Ok("exact".to_owned())
}
