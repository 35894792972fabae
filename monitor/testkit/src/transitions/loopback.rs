//! Sockets on loopback, of one family, and waiting for what they do.
//!
//! A closed descriptor may live on for a moment in a child that another thread has forked. So
//! whatever is to follow a close waits for what the other end sees of it. What the kernel has to do
//! at the other end is nearly always done when the system call returns, but it may leave it to
//! a thread of its own: so everything is waited for.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::peer::Family;
use crate::sys;

/// How long the kernel may take for anything. It takes microseconds, under emulation more.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// States as the kernel numbers them.
pub(super) const SYN_SENT: u8 = 2;
pub(super) const FIN_WAIT1: u8 = 4;
pub(super) const FIN_WAIT2: u8 = 5;
pub(super) const CLOSE: u8 = 7;

/// The way over loopback.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loopback(pub(super) Family);

impl Loopback {
    pub(super) fn address(self, port: u16) -> SocketAddr {
        match self.0 {
            Family::V4 => (Ipv4Addr::LOCALHOST, port).into(),
            Family::V6 => (Ipv6Addr::LOCALHOST, port).into(),
            Family::Mapped => (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port).into(),
        }
    }

    /// What a listener has for its other end. The kernel takes a pair of addresses for IPv4 only
    /// when both are mapped.
    pub(super) fn any_address(self) -> SocketAddr {
        match self.0 {
            Family::V4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
            Family::V6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
            Family::Mapped => (Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 0).into(),
        }
    }

    pub(super) fn domain(self) -> Domain {
        Domain::for_address(self.address(0))
    }

    /// A socket that waits for nothing for ever.
    pub(super) fn socket(self) -> Result<Socket> {
        self.socket_of(None)
    }

    pub(super) fn socket_of(self, protocol: Option<Protocol>) -> Result<Socket> {
        let socket = Socket::new(self.domain(), Type::STREAM, protocol)?;
        socket.set_read_timeout(Some(SOON))?;
        socket.set_write_timeout(Some(SOON))?;
        if self.0 == Family::Mapped {
            socket.set_only_v6(false)?;
        }
        Ok(socket)
    }

    /// A socket bound to a free port.
    pub(super) fn bound(self) -> Result<Socket> {
        let socket = self.socket()?;
        socket.bind(&self.address(0).into())?;
        Ok(socket)
    }

    /// A listener with room for all that is ever in its queue at once.
    pub(super) fn serve(self) -> Result<Server> {
        Server::new(self, self.bound()?, 16)
    }
}

/// A listener.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) on: Loopback,
    pub(super) listener: Socket,
    pub(super) address: SocketAddr,
}

impl Server {
    /// Makes a bound socket a listener, whose queue takes `backlog` and one more.
    pub(super) fn new(on: Loopback, listener: Socket, backlog: i32) -> Result<Self> {
        listener.listen(backlog)?;
        let address = address_of(&listener)?;
        Ok(Self {
            on,
            listener,
            address,
        })
    }

    /// A client that is connected, though perhaps not accepted.
    pub(super) fn connect(&self) -> Result<Socket> {
        let client = self.on.socket()?;
        let connected = client.connect(&self.address.into());
        connected.with_context(|| format!("can't connect to {}", self.address))?;
        Ok(client)
    }

    /// Both ends of a connection: the client's, then the server's.
    pub(super) fn pair(&self) -> Result<(Socket, Socket)> {
        let client = self.connect()?;
        let (server, _) = self.listener.accept().context("can't accept")?;
        Ok((client, server))
    }

    /// A socket that connects and does not get there, since the queue is full.
    pub(super) fn connect_in_vain(&self, client: Socket) -> Result<Socket> {
        client.set_nonblocking(true)?;
        match client.connect(&self.address.into()) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => {}
            other => bail!("connecting to a full queue gives {other:?}"),
        }
        let seen = sys::tcp_state(&client)?;
        ensure!(seen == SYN_SENT, "the queue was not full: state {seen}");
        Ok(client)
    }

    /// Waits until this many connections are to be accepted.
    pub(super) fn queued(&self, count: usize) -> Result<()> {
        until(
            || Ok(sys::accept_queue(&self.listener)? as usize),
            count,
            "connections to accept",
        )
    }
}

/// One of a pair that acts and the one that is acted upon: the client's end and the server's in
/// even rounds, the other way around in odd ones.
pub(super) fn in_turn<T>(round: u64, (client, server): (T, T)) -> (T, T) {
    if round.is_multiple_of(2) {
        (client, server)
    } else {
        (server, client)
    }
}

/// Waits until the socket is in a state, as the kernel numbers it.
pub(super) fn reach(socket: &Socket, state: u8) -> Result<()> {
    until(|| Ok(sys::tcp_state(socket)?), state, "TCP state")
}

/// Sends a FIN, and waits until the other end has it and the first has its acknowledgement.
pub(super) fn finish_first(first: &Socket, second: &Socket) -> Result<()> {
    first.shutdown(std::net::Shutdown::Write)?;
    hear_end(second)?;
    // It would be put off otherwise, for something to send along.
    second.set_tcp_quickack(true)?;
    reach(first, FIN_WAIT2)
}

/// Reads up to the other end's FIN.
pub(super) fn hear_end(mut socket: &Socket) -> Result<()> {
    io::copy(&mut socket, &mut io::sink()).context("no end of the stream")?;
    Ok(())
}

/// Closes so that the other end is reset.
pub(super) fn abort(socket: Socket) -> Result<()> {
    Ok(socket.set_linger(Some(Duration::ZERO))?)
}

/// Both ends' addresses, the socket's own first.
pub(super) fn addresses(socket: &Socket) -> Result<(SocketAddr, SocketAddr)> {
    let peer = socket.peer_addr()?.as_socket().context("no address")?;
    Ok((address_of(socket)?, peer))
}

pub(super) fn address_of(socket: &Socket) -> Result<SocketAddr> {
    socket.local_addr()?.as_socket().context("no address")
}

/// How many sockets of TCP there are in the namespace of this thread: no minisocks, no requests.
pub(super) fn sockets() -> Result<u64> {
    let in_use = |file: &str, name: &str| -> Result<u64> {
        let path = format!("/proc/thread-self/net/{file}");
        let table = std::fs::read_to_string(&path).with_context(|| format!("can't read {path}"))?;
        let mut lines = table.lines();
        let line = lines.find_map(|line| line.strip_prefix(name));
        let count = line.and_then(|line| line.split_whitespace().nth(1));
        count.context("no TCP")?.parse().context("no number")
    };
    let v4 = in_use("sockstat", "TCP:")?;
    // It is not there without IPv6.
    Ok(v4 + in_use("sockstat6", "TCP6:").unwrap_or(0))
}

/// Waits until `seen` is `expected`.
fn until<T: PartialEq + std::fmt::Display>(
    mut see: impl FnMut() -> Result<T>,
    expected: T,
    what: &str,
) -> Result<()> {
    let start = Instant::now();
    loop {
        let seen = see()?;
        if seen == expected {
            return Ok(());
        }
        ensure!(
            start.elapsed() < SOON,
            "{what}: {seen}, waited for {expected}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}
