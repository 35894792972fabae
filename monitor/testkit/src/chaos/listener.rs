//! Listeners of every kind, and the ways to connect to them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::dice::Dice;
use crate::sys;

/// The `::ffff:127.0.0.1` of v4-mapped sockets.
const MAPPED: Ipv6Addr = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
/// How long a listener that waits for data keeps a connection as a request.
const DEFERRED_SECONDS: i32 = 60;

/// Whom a listener hears.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reach {
    V4,
    V6,
    /// An IPv6 socket at every address, of both families.
    Dual,
    /// An IPv6 socket at an IPv4 address.
    Mapped,
}

/// How a client speaks to a listener.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    V4,
    V6,
    /// An IPv6 socket that connects to an IPv4 address.
    Mapped,
}

/// What can be wanted of a listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) reach: Reach,
    /// Whether it listens at any address, not only at loopback's.
    any: bool,
    pub(super) backlog: usize,
    /// Whether it shares its port with others.
    pub(super) shared: bool,
    /// Whether a connection stays a request until its client sends something.
    pub(super) deferred: bool,
}

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: Socket,
    pub(super) kind: Kind,
    pub(super) port: u16,
}

impl Kind {
    pub(super) fn random(dice: &mut Dice) -> Self {
        Self {
            reach: dice.pick(&[Reach::V4, Reach::V4, Reach::V6, Reach::Dual, Reach::Mapped]),
            any: dice.one_in(2),
            backlog: dice.pick(&[0, 1, 2, 8, 8, 64, 64]),
            shared: dice.one_in(4),
            deferred: dice.one_in(6),
        }
    }

    /// One that takes every connection of a burst.
    pub(super) fn roomy(dice: &mut Dice) -> Self {
        Self {
            backlog: 64,
            shared: false,
            deferred: false,
            ..Self::random(dice)
        }
    }

    fn address(&self, port: u16) -> SocketAddr {
        match (self.reach, self.any) {
            (Reach::V4, false) => (Ipv4Addr::LOCALHOST, port).into(),
            (Reach::V4, true) => (Ipv4Addr::UNSPECIFIED, port).into(),
            (Reach::V6, false) => (Ipv6Addr::LOCALHOST, port).into(),
            (Reach::Mapped, _) => (MAPPED, port).into(),
            (Reach::V6, true) | (Reach::Dual, _) => (Ipv6Addr::UNSPECIFIED, port).into(),
        }
    }
}

impl Listener {
    /// Listens at `port`; `None` when the port is taken.
    pub(super) fn open(kind: Kind, port: u16) -> io::Result<Option<Self>> {
        let address = kind.address(port);
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(matches!(kind.reach, Reach::V6))?;
        }
        if kind.shared {
            rustix::net::sockopt::set_socket_reuseport(&socket, true)?;
        }
        if kind.deferred {
            sys::defer_accept(&socket, DEFERRED_SECONDS)?;
        }
        let backlog = i32::try_from(kind.backlog).unwrap_or(i32::MAX);
        let bound = socket.bind(&address.into());
        match bound.and_then(|()| socket.listen(backlog)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            other => other.map(|()| Some(Self { socket, kind, port })),
        }
    }

    /// A client that connects in one of the ways that this listener hears. As [`connect`].
    pub(super) fn connect(&self, dice: &mut Dice) -> io::Result<Option<Socket>> {
        let way = match self.kind.reach {
            Reach::V4 | Reach::Mapped => dice.pick(&[Way::V4, Way::Mapped]),
            Reach::V6 => Way::V6,
            Reach::Dual => dice.pick(&[Way::V4, Way::V6, Way::Mapped]),
        };
        connect(way, self.port)
    }

    /// Stops to listen, even while a child of this process that was just forked has a copy of the
    /// descriptor. All that wait are reset.
    pub(super) fn close(self) {
        self.socket.shutdown(Shutdown::Both).ok();
    }

    /// The next connection that waits; `None` when none does.
    pub(super) fn accept(&self) -> io::Result<Option<Socket>> {
        match self.socket.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(true)?;
                Ok(Some(socket))
            }
            // None waits, or it was reset while it waited.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A socket that connects to a port of loopback. What is to be had at once is there when this
/// returns: connected, or refused (a socket in CLOSE), or waiting for an answer that does not
/// come. `None` when no port of its own is free.
pub(super) fn connect(way: Way, port: u16) -> io::Result<Option<Socket>> {
    let to: SocketAddr = match way {
        Way::V4 => (Ipv4Addr::LOCALHOST, port).into(),
        Way::V6 => (Ipv6Addr::LOCALHOST, port).into(),
        Way::Mapped => (MAPPED, port).into(),
    };
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    finish_connect(socket, to)
}

/// A socket that connects to itself, from `port` to `port`; `None` when the port is taken.
pub(super) fn connect_to_self(way: Way, port: u16) -> io::Result<Option<Socket>> {
    let at: SocketAddr = match way {
        Way::V4 => (Ipv4Addr::LOCALHOST, port).into(),
        Way::V6 => (Ipv6Addr::LOCALHOST, port).into(),
        Way::Mapped => (MAPPED, port).into(),
    };
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    match socket.bind(&at.into()) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        bound => bound.and_then(|()| finish_connect(socket, at)),
    }
}

fn finish_connect(socket: Socket, to: SocketAddr) -> io::Result<Option<Socket>> {
    match socket.connect(&to.into()) {
        Ok(()) => Ok(Some(socket)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::INPROGRESS | Errno::CONNREFUSED) => Ok(Some(socket)),
            Some(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) => Ok(None),
            _ => Err(error),
        },
    }
}
