//! One connection between a kernel socket and the peer, as the peer sees it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::device::{KERNEL_V4, KERNEL_V6, PEER_V4, PEER_V6};
use super::link::Link;
use super::segment::{ACK, FIN, RST, SYN, Segment};
use super::state::Family;

/// The peer's first sequence number: near the end, so that they all run over it.
const FIRST: u32 = u32::MAX - 1;

/// Both ends' addresses on the wire, and where they are in their streams.
#[derive(Debug)]
pub(super) struct Connection {
    kernel: SocketAddr,
    peer: SocketAddr,
    /// The peer's next sequence number.
    seq: u32,
    /// The kernel's next one, as far as the peer acknowledges.
    ack: u32,
}

impl Connection {
    /// A socket that connects to the peer, which has seen its SYN and not answered.
    pub(super) fn from_kernel(link: &Link, family: Family) -> Result<(Self, Socket)> {
        let peer = SocketAddr::from((addresses(family).1, link.port()));
        let socket = Socket::new(domain(family), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&as_seen(family, peer).into()) {
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            other => other.with_context(|| format!("can't connect to {peer}"))?,
        }
        let seen = link.wait(peer, SYN)?;
        let local = socket.local_addr()?.as_socket().context("no address")?;
        let connection = Self {
            kernel: (local.ip().to_canonical(), local.port()).into(),
            peer,
            seq: FIRST,
            ack: seen.next,
        };
        Ok((connection, socket))
    }

    /// The peer connects to `port` and the kernel answers, which the peer does not acknowledge.
    pub(super) fn to_kernel(link: &Link, family: Family, port: u16) -> Result<Self> {
        let (kernel, peer) = addresses(family);
        let mut connection = Self {
            kernel: (kernel, port).into(),
            peer: (peer, link.port()).into(),
            seq: FIRST,
            ack: 0,
        };
        connection.send(link, SYN)?;
        connection.ack = link.wait(connection.peer, SYN | ACK)?.next;
        Ok(connection)
    }

    /// The kernel's port, and the peer's, which no other connection has.
    pub(super) fn ports(&self) -> (u16, u16) {
        (self.kernel.port(), self.peer.port())
    }

    /// The peer sends a SYN, as if it had not seen the kernel's.
    pub(super) fn connect_too(&mut self, link: &Link) -> Result<()> {
        self.send(link, SYN)?;
        link.wait(self.peer, SYN | ACK).map(drop)
    }

    /// The peer takes the connection.
    pub(super) fn accept(&mut self, link: &Link) -> Result<()> {
        self.send(link, SYN | ACK)?;
        link.wait(self.peer, ACK).map(drop)
    }

    /// The peer sends its FIN, which acknowledges nothing that it has not acknowledged before.
    pub(super) fn finish(&mut self, link: &Link) -> Result<()> {
        self.send(link, FIN | ACK)
    }

    /// The kernel has sent its FIN, which the peer sees and does not acknowledge.
    pub(super) fn see_finish(&self, link: &Link) -> Result<()> {
        link.wait(self.peer, FIN).map(drop)
    }

    /// The peer acknowledges the kernel's FIN.
    pub(super) fn acknowledge_finish(&mut self, link: &Link) -> Result<()> {
        self.ack = link.wait(self.peer, FIN)?.next;
        self.send(link, ACK)
    }

    /// The peer resets. The kernel believes it in every state: the sequence number is exactly the
    /// one that it waits for, or to a lone SYN, the acknowledgement.
    pub(super) fn reset(&mut self, link: &Link) -> Result<()> {
        self.send(link, RST | ACK)
    }

    fn send(&mut self, link: &Link, flags: u8) -> Result<()> {
        let segment = Segment {
            from: self.peer,
            to: self.kernel,
            seq: self.seq,
            ack: if flags & ACK == 0 { 0 } else { self.ack },
            flags,
            data: 0,
        };
        self.seq = segment.next();
        link.send(&segment)
    }
}

/// A listener on the kernel's address, at a port of its own. A v4-mapped one listens to both
/// families, since the peer's IPv4 segments do not get to any other.
pub(super) fn listen(family: Family, backlog: i32) -> io::Result<(Socket, u16)> {
    let socket = Socket::new(domain(family), Type::STREAM, None)?;
    let address: IpAddr = match family {
        Family::V4 => KERNEL_V4.into(),
        Family::V6 => KERNEL_V6.into(),
        Family::Mapped => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    if family != Family::V4 {
        socket.set_only_v6(family == Family::V6)?;
    }
    socket.bind(&SocketAddr::from((address, 0)).into())?;
    socket.listen(backlog)?;
    let port = socket.local_addr()?.as_socket().map_or(0, |a| a.port());
    Ok((socket, port))
}

/// The kernel's address and the peer's, on the wire.
fn addresses(family: Family) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 | Family::Mapped => (KERNEL_V4.into(), PEER_V4.into()),
        Family::V6 => (KERNEL_V6.into(), PEER_V6.into()),
    }
}

/// An address on the wire as a socket of this family has it.
fn as_seen(family: Family, address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(v4) if family == Family::Mapped => (v4.to_ipv6_mapped(), address.port()).into(),
        _ => address,
    }
}

fn domain(family: Family) -> Domain {
    match family {
        Family::V4 => Domain::IPV4,
        Family::V6 | Family::Mapped => Domain::IPV6,
    }
}
