//! Values: every TCP state, UDP sockets with full queues and real drops.

use std::net::UdpSocket;
use std::os::fd::AsFd;

use anyhow::{Context, Result, ensure};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{SendFlags, send};
use testkit::cadvisor;
use testkit::netns::Netns;
use testkit::peer::{Family, Peer, State};
use testkit::{require, wait};

use crate::{SOON, UDP, compare, monitor};

#[test]
fn every_state_is_counted_as_cadvisor_counts_it() -> Result<()> {
    testkit::require!(
        require::root(),
        require::bpf(),
        require::btf(),
        require::tun()
    );
    let netns = Netns::new("ca-states")?;
    let peer = Peer::new(&netns)?;
    let mut held = Vec::new();
    for (number, family) in Family::ALL.into_iter().enumerate() {
        for (more, state) in State::ALL.into_iter().enumerate() {
            held.push(peer.hold_many(family, state, 1 + (number + more) % 3)?);
        }
    }
    for source in ["kernel", "sock_diag"] {
        let source = format!("--collector.tcp-states={source}");
        let monitor = monitor(&["--discovery=cgroup", &source])?;
        // Segments are sent again while they are held, and counted.
        wait::until("a moment in which nothing moves", SOON, || {
            let result = compare(&monitor.metrics()?, "ca-states", netns.pid());
            Ok(result.is_ok().then_some(()))
        })
        .or_else(|_| compare(&monitor.metrics()?, "ca-states", netns.pid()))?;
        monitor.stop()?;
    }
    drop(held);
    Ok(())
}

/// A socket that has as many datagrams as find room, and has dropped others.
fn overrun(address: &str) -> Result<UdpSocket> {
    let receiver = UdpSocket::bind(address)?;
    set_socket_recv_buffer_size(&receiver, 8 << 10)?;
    let sender = UdpSocket::bind(address)?;
    for _ in 0..100 {
        sender.send_to(&[7; 1000], receiver.local_addr()?)?;
    }
    Ok(receiver)
}

/// A socket with a datagram that has not been sent yet.
fn corked(address: &str) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.connect(socket.local_addr()?)?;
    send(socket.as_fd(), &[7; 500], SendFlags::MORE)?;
    Ok(socket)
}

#[test]
fn udp_queues_and_drops_are_the_kernel_s() -> Result<()> {
    testkit::require!(require::root());
    let (busy, idle) = (Netns::new("ca-udp")?, Netns::new("ca-idle")?);
    let hold = || -> Result<Vec<UdpSocket>> {
        let mut sockets = Vec::new();
        for address in ["127.0.0.1:0", "127.0.0.1:0", "[::1]:0"] {
            sockets.push(overrun(address)?);
            sockets.push(corked(address)?);
        }
        // Counted as IPv6, whatever it speaks.
        sockets.push(UdpSocket::bind("[::]:0")?);
        Ok(sockets)
    };
    let sockets = busy.enter(hold)?;
    let monitor = monitor(&["--discovery=cgroup"])?;
    let metrics = monitor.metrics()?;
    compare(&metrics, "ca-udp", busy.pid())?;
    let seen = cadvisor::published(&metrics, UDP, "udp_state", "ca-udp")?;
    for (state, least) in [
        ("listen", 4),
        ("dropped", 100),
        ("rxqueued", 8000),
        ("txqueued", 1000),
    ] {
        ensure!(seen[state] >= least, "{state}: {seen:?}");
    }
    // A namespace without a socket has none: that is known without a visit.
    compare(&metrics, "ca-idle", idle.pid())?;
    ensure!(cadvisor::published(&metrics, UDP, "udp_state", "ca-idle")?["listen"] == 0);

    // What is read leaves the queue, and what was dropped stays counted until the socket closes.
    sockets[0].set_nonblocking(true)?;
    while sockets[0].recv(&mut [0; 2000]).is_ok() {}
    compare(&monitor.metrics()?, "ca-udp", busy.pid())?;
    drop(sockets);
    let metrics = monitor.metrics()?;
    compare(&metrics, "ca-udp", busy.pid())?;
    let seen = cadvisor::published(&metrics, UDP, "udp_state", "ca-udp")?;
    ensure!(seen.values().all(|value| *value == 0), "{seen:?}");

    // Without the sockstat files nothing says that a namespace is idle: it is asked.
    let blind = [
        "--discovery=cgroup",
        "--no-collector.sockstat",
        "--no-collector.sockstat6",
    ];
    let blind = crate::monitor(&blind)?;
    let metrics = blind.metrics()?;
    ensure!(cadvisor::published(&metrics, UDP, "udp_state", "ca-idle")?["listen"] == 0);
    ensure!(metrics.series("container_sockets").is_empty());
    blind.stop()?;
    monitor.stop()?;
    Ok(())
}

#[test]
fn what_is_switched_off_is_left_out_not_zero() -> Result<()> {
    testkit::require!(require::root());
    let netns = Netns::new("ca-off")?;
    let off = [
        "--discovery=cgroup",
        "--collector.tcp-states=off",
        "--no-collector.snmp",
        "--no-collector.netstat",
    ];
    let monitor = monitor(&off)?;
    let metrics = monitor.metrics()?;
    for family in [
        "container_network_tcp_usage_total",
        "container_network_advance_tcp_stats_total",
    ] {
        ensure!(metrics.series(family).is_empty(), "{family}");
    }
    metrics.value(UDP, &[("name", "ca-off"), ("udp_state", "listen")])?;
    // The cgroup is that of the process.
    let id = &metrics
        .one("container_sockets", &[("name", "ca-off")])?
        .labels["id"];
    let path = netns.read("cgroup")?;
    let path = path.lines().last().and_then(|line| line.rsplit(':').next());
    ensure!(path.context("no cgroup")? == id, "{path:?}, not {id:?}");
    monitor.stop()?;

    // It is off where nothing is said.
    let plain = testkit::monitor::Monitor::start(crate::EXE, &["serve", "--discovery=cgroup"])?;
    plain.wait_ready()?;
    let metrics = plain.metrics()?;
    ensure!(metrics.series("container_sockets").is_empty());
    ensure!(
        metrics
            .series("container_network_tcp_usage_total")
            .is_empty()
    );
    plain.stop()?;
    Ok(())
}
