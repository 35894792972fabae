//! Values: equal to the namespace's own files, to `ss`, and to what was really done.

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

use anyhow::{Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};
use testkit::files::{differences, namespace_values};
use testkit::metrics::Metrics;
use testkit::netns::Netns;
use testkit::{require, ss, workload};

use crate::monitor;

/// Connections whose both ends are established, of each kind.
const HELD: u64 = 7;
/// Connections that the client half-closed: it is a full socket in FIN_WAIT2.
const HALF_CLOSED: u64 = 2;
/// Connections that the client closed: it is a minisock in FIN_WAIT2.
const LEAKED: u64 = 3;
/// Connections that both closed, the client first.
const ENDED: u64 = 5;
/// Kinds of connections: IPv4, IPv6, and IPv4 over IPv6 sockets.
const KINDS: u64 = 3;
/// Clients that no full accept queue lets in.
const WAITING: u64 = 2;

/// Makes a listener at `at` and connections to `to`, in every state that lasts.
fn connections(at: &str, to: &str, held: &mut Vec<OwnedFd>) -> Result<()> {
    let listener = TcpListener::bind(at)?;
    let to: SocketAddr = to.parse()?;
    let pair = || -> Result<(TcpStream, TcpStream)> {
        let client = TcpStream::connect(to)?;
        Ok((client, listener.accept()?.0))
    };
    let ended = |mut server: &TcpStream| -> Result<()> {
        ensure!(std::io::Read::read(&mut server, &mut [0])? == 0);
        Ok(())
    };
    for _ in 0..HELD {
        let (client, server) = pair()?;
        held.extend([client.into(), server.into()]);
    }
    for _ in 0..HALF_CLOSED {
        let (client, server) = pair()?;
        client.shutdown(Shutdown::Write)?;
        ended(&server)?;
        held.extend([client.into(), server.into()]);
    }
    for _ in 0..LEAKED {
        let (client, server) = pair()?;
        drop(client);
        ended(&server)?;
        held.push(server.into());
    }
    for _ in 0..ENDED {
        let (client, server) = pair()?;
        drop(client);
        ended(&server)?;
    }
    held.push(listener.into());
    Ok(())
}

/// A listener whose queue is full, with clients in SYN_SENT.
fn full_queue(held: &mut Vec<OwnedFd>) -> Result<()> {
    let address: SocketAddr = "127.0.0.1:84".parse()?;
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(&address.into())?;
    // The queue holds one more than its length.
    listener.listen(0)?;
    held.push(TcpStream::connect(address)?.into());
    for _ in 0..WAITING {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        client.set_nonblocking(true)?;
        ensure!(client.connect(&address.into()).is_err(), "it got in");
        held.push(client.into());
    }
    held.push(listener.into());
    Ok(())
}

/// Sockets that are no TCP, and some datagrams.
fn others(held: &mut Vec<OwnedFd>) -> Result<()> {
    for (address, closed) in [("127.0.0.1:0", "127.0.0.1:9"), ("[::1]:0", "[::1]:9")] {
        let (a, b) = (UdpSocket::bind(address)?, UdpSocket::bind(address)?);
        for _ in 0..11 {
            a.send_to(b"x", b.local_addr()?)?;
        }
        for _ in 0..4 {
            b.send_to(b"x", closed)?;
        }
        held.extend([a.into(), b.into()]);
    }
    let raw = |domain, protocol| Socket::new(domain, Type::RAW, Some(protocol));
    held.push(raw(Domain::IPV4, Protocol::ICMPV4)?.into());
    for _ in 0..2 {
        held.push(raw(Domain::IPV6, Protocol::ICMPV6)?.into());
    }
    // Gone in Linux 7.2.
    let lite = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::from(136)));
    if let Ok(lite) = lite {
        lite.bind(&SocketAddr::from(([127, 0, 0, 1], 85)).into())?;
        held.push(lite.into());
    }
    Ok(())
}

#[test]
fn all_values_are_those_of_the_files_and_of_ss() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    let netns = Netns::new("ns-values")?;
    let held = netns.enter(|| {
        let mut held = Vec::new();
        connections("127.0.0.1:81", "127.0.0.1:81", &mut held)?;
        connections("[::1]:82", "[::1]:82", &mut held)?;
        connections("[::]:83", "[::ffff:127.0.0.1]:83", &mut held)?;
        full_queue(&mut held)?;
        others(&mut held)?;
        Ok(held)
    })?;
    for source in ["proc", "kernel"] {
        if source == "kernel" {
            testkit::require!(require::bpf(), require::btf());
        }
        let monitor = monitor(&["--collector.counters", source])?;
        let before = namespace_values(netns.pid())?;
        let metrics = monitor.metrics()?;
        let after = namespace_values(netns.pid())?;
        // All families of the contract but those that the kernel may lack.
        ensure!(
            before.len() >= 52,
            "only {} values to compare",
            before.len()
        );
        let labels = [("namespace", ""), ("pod", ""), ("container", "ns-values")];
        let wrong = differences(&metrics, &labels, &before, &after);
        ensure!(wrong.is_empty(), "{source}:\n{}", wrong.join("\n"));
        let in_use = metrics.value("container_monitor_counters_source", &[("source", source)])?;
        ensure!(in_use == 1.0, "{source} is not used: {:?}", monitor.log());
        as_made(&metrics)?;
        as_ss_counts(&metrics, netns.pid())?;
        monitor.stop()?;
    }
    drop(held);
    Ok(())
}

/// Every counter that the kernel numbers, under its own name: the file shows the same.
#[test]
fn the_kernel_s_own_counters_are_those_of_the_files_to_the_digit() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let netns = Netns::new("ns-digits")?;
    let held = netns.enter(|| {
        let mut held = Vec::new();
        connections("127.0.0.1:81", "127.0.0.1:81", &mut held)?;
        connections("[::1]:82", "[::1]:82", &mut held)?;
        full_queue(&mut held)?;
        others(&mut held)?;
        Ok(held)
    })?;
    let fields = "--collector.netstat.fields=^(Tcp|TcpExt|Udp|Udp6)_";
    let values = |source: &str| -> Result<BTreeMap<_, f64>> {
        let monitor = monitor(&["--collector.counters", source, fields])?;
        let metrics = monitor.metrics()?;
        let of_files = ["_tcp_", "_tcpext_", "_udp_", "_udp6_"];
        let mut values = BTreeMap::new();
        for sample in metrics.labelled(&[("container", "ns-digits")]) {
            let of_file = of_files.iter().any(|part| sample.name.contains(part));
            if of_file && sample.name != "container_network_tcp_sockets" {
                values.insert((sample.name.clone(), sample.labels.clone()), sample.value);
            }
        }
        if source == "kernel" {
            for file in ["snmp", "snmp6", "netstat"] {
                let labels = [("collector", file)];
                let read =
                    metrics.value("container_monitor_collector_duration_seconds", &labels)?;
                ensure!(read == 0.0, "{file} was read: {:?}", monitor.log());
            }
        }
        monitor.stop()?;
        Ok(values)
    };
    // Clients at a full queue try again now and then: the same before and after means quiet.
    let mut last = values("proc")?;
    for _ in 0..5 {
        let kernel = values("kernel")?;
        let next = values("proc")?;
        if next == last {
            ensure!(last.len() > 150, "only {} values", last.len());
            ensure!(kernel == last, "{kernel:?}\n{last:?}");
            drop(held);
            return Ok(());
        }
        last = next;
    }
    bail!("never quiet")
}

fn inuse(metrics: &Metrics, protocol: &str) -> Result<u64> {
    let labels = [("container", "ns-values"), ("protocol", protocol)];
    Ok(metrics.value("container_network_sockets_inuse", &labels)? as u64)
}

fn value(metrics: &Metrics, name: &str) -> Result<u64> {
    Ok(metrics.value(name, &[("container", "ns-values")])? as u64)
}

/// The numbers that follow from what was made.
fn as_made(metrics: &Metrics) -> Result<()> {
    let kind = 1 + 2 * HELD + 2 * HALF_CLOSED + LEAKED;
    // The full queue's listener, its one connection and the clients outside.
    let queue = 1 + 2 + WAITING;
    for (protocol, expected) in [
        ("tcp", kind + queue),
        ("tcp6", 2 * kind),
        ("udp", 2),
        ("udp6", 2),
        ("raw", 1),
        ("raw6", 2),
    ] {
        let seen = inuse(metrics, protocol)?;
        ensure!(seen == expected, "{protocol}: {seen}, made {expected}");
    }
    let expected = KINDS * (LEAKED + ENDED);
    let seen = value(metrics, "container_network_tcp_time_wait_sockets")?;
    ensure!(seen == expected, "time_wait: {seen}, made {expected}");
    let expected = KINDS * (2 * HELD + HALF_CLOSED + LEAKED) + 2;
    let seen = value(metrics, "container_network_tcp_curr_estab")?;
    ensure!(seen == expected, "curr_estab: {seen}, made {expected}");
    let udp = |name: &str, family| {
        let name = format!("container_network_udp_{name}_total");
        metrics.value(&name, &[("container", "ns-values"), ("family", family)])
    };
    for family in ["ipv4", "ipv6"] {
        ensure!(udp("in_datagrams", family)? <= 11.0, "nobody reads them");
        ensure!(udp("out_datagrams", family)? == 15.0);
        ensure!(udp("no_ports", family)? == 4.0);
    }
    Ok(())
}

/// The numbers that `ss` counts.
fn as_ss_counts(metrics: &Metrics, pid: u32) -> Result<()> {
    let states = ss::states(pid)?;
    let total = |state| ss::total(&states, state);
    ensure!(total("syn_sent") == WAITING, "{states:?}");
    ensure!(total("close_wait") == KINDS * (HALF_CLOSED + LEAKED));
    ensure!(total("listen") == KINDS + 1, "{states:?}");
    let estab = total("established") + total("close_wait");
    ensure!(value(metrics, "container_network_tcp_curr_estab")? == estab);
    let minisocks = total("time_wait") + total("fin_wait2") - KINDS * HALF_CLOSED;
    ensure!(value(metrics, "container_network_tcp_time_wait_sockets")? == minisocks);
    let full: u64 = states.values().sum::<u64>() - minisocks;
    ensure!(inuse(metrics, "tcp")? + inuse(metrics, "tcp6")? == full);
    for (protocol, options) in [
        ("udp", ["-u", "-4"]),
        ("udp6", ["-u", "-6"]),
        ("raw", ["-w", "-4"]),
        ("raw6", ["-w", "-6"]),
    ] {
        let options = [&["-H", "-a", "-n"][..], &options].concat();
        let lines = ss::run(pid, &options)?.lines().count() as u64;
        ensure!(inuse(metrics, protocol)? == lines, "{protocol}: {lines}");
    }
    Ok(())
}

#[test]
fn a_thousand_connections_are_a_thousand() -> Result<()> {
    const COUNT: usize = 1_000;
    const REFUSED: usize = 20;
    testkit::require!(require::root());
    let (busy, _quiet) = (Netns::new("ns-busy")?, Netns::new("ns-quiet")?);
    let monitor = monitor(&[])?;
    let before = monitor.metrics()?;
    busy.enter(|| {
        workload::connect_to_self("127.0.0.1:80".parse()?, COUNT)?;
        for _ in 0..REFUSED {
            ensure!(TcpStream::connect("[::1]:80").is_err());
        }
        Ok(())
    })?;
    let after = monitor.metrics()?;
    let grown = |container: &str, name: &str| -> Result<usize> {
        let name = format!("container_network_tcp_{name}_total");
        let value = |metrics: &Metrics| metrics.value(&name, &[("container", container)]);
        Ok((value(&after)? - value(&before)?) as usize)
    };
    for (name, expected) in [
        ("active_opens", COUNT + REFUSED),
        ("passive_opens", COUNT),
        ("attempt_fails", REFUSED),
        ("out_rsts", REFUSED),
        ("estab_resets", 0),
    ] {
        let seen = grown("ns-busy", name)?;
        ensure!(seen == expected, "{name} grew by {seen}, not by {expected}");
        ensure!(grown("ns-quiet", name)? == 0, "{name} of a quiet neighbour");
    }
    monitor.stop()?;
    Ok(())
}
