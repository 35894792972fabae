//! Accept queues: what waits and how much may, at each port.

use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Result, ensure};
use socket2::{Domain, Socket, Type};
use testkit::netns::Netns;
use testkit::published::{self, Queues, SOCKETS};
use testkit::require;

use crate::{SOURCES, monitor, queues_by_ss};

/// A listener with room for `backlog`, on a port that others may listen at too.
fn listen(address: &str, backlog: i32) -> Result<Socket> {
    let address: SocketAddr = address.parse()?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

fn row(port: &str, family: &str, length: u64, limit: u64) -> ((String, String), (u64, u64)) {
    ((port.to_owned(), family.to_owned()), (length, limit))
}

#[test]
fn listeners_of_one_port_are_summed() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::program("ss"));
    let netns = Netns::new("st-queues")?;
    let held = netns.enter(|| {
        let listeners = vec![
            listen("127.0.0.1:80", 5)?,
            listen("127.0.0.1:80", 6)?,
            listen("127.0.0.2:80", 7)?,
            listen("[::]:80", 8)?,
            listen("[::1]:443", 9)?,
        ];
        let mut clients = Vec::new();
        for (address, count) in [("127.0.0.1:80", 4), ("127.0.0.2:80", 2), ("[::1]:443", 3)] {
            for _ in 0..count {
                clients.push(TcpStream::connect(address)?);
            }
        }
        Ok((listeners, clients))
    })?;
    let expected = Queues::from([
        row("80", "ipv4", 6, 18),
        row("80", "ipv6", 0, 8),
        row("443", "ipv6", 3, 9),
    ]);
    ensure!(queues_by_ss(&netns)? == expected);
    for source in SOURCES {
        let monitor = monitor(source, &[])?;
        let metrics = monitor.metrics()?;
        let seen = published::queues(&metrics, metrics.container_in(netns.inode())?)?;
        ensure!(seen == expected, "{source}: {seen:?}");
        monitor.stop()?;
    }
    drop(held);
    Ok(())
}

/// Listeners at so many ports from 10,000 on.
fn listen_at(netns: &Netns, ports: u16) -> Result<Vec<TcpListener>> {
    netns.enter(|| {
        let ports = 10_000..10_000 + ports;
        let listeners = ports.map(|port| Ok(TcpListener::bind(("127.0.0.1", port))?));
        listeners.collect()
    })
}

#[test]
fn of_many_ports_the_lowest_64_are_told_apart() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::program("ss"));
    let (some, many) = (Netns::new("st-ports")?, Netns::new("st-many-ports")?);
    // The latter are more than the program tells apart itself.
    let held = (listen_at(&some, 300)?, listen_at(&many, 700)?);
    for source in SOURCES {
        let monitor = monitor(source, &[])?;
        let metrics = monitor.metrics()?;
        for (netns, ports) in [(&some, 300.0), (&many, 700.0)] {
            let container = metrics.container_in(netns.inode())?;
            let queues = published::queues(&metrics, container)?;
            ensure!(queues.len() == 65, "{source}: {} rows", queues.len());
            let other = ("other".to_owned(), "ipv4".to_owned());
            ensure!(queues.contains_key(&other), "{source}: {queues:?}");
            let limit: u64 = queues.values().map(|(_, limit)| limit).sum();
            let by_ss: u64 = queues_by_ss(netns)?.values().map(|(_, limit)| limit).sum();
            ensure!(limit == by_ss, "{source}: {limit} of {by_ss}");
            let listening = [("container", container), ("state", "listen")];
            ensure!(metrics.sum(SOCKETS, &listening) == ports, "{source}");
        }
        let queues = published::queues(&metrics, metrics.container_in(some.inode())?)?;
        let lowest = (10_000..10_064).all(|port: u16| {
            let key = (port.to_string(), "ipv4".to_owned());
            queues.contains_key(&key)
        });
        ensure!(lowest, "{source}: {queues:?}");
        monitor.stop()?;
    }
    drop(held);
    Ok(())
}
