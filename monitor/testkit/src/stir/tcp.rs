//! Connections, and how they end.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::net::sockopt::set_socket_linger;
use socket2::{Domain, Socket, Type};

use super::inside::Inside;
use super::promise::TCP_EXT;
use super::sysctl::Sysctl;
use crate::wait;

/// Both ends of a connection: the client, the server.
pub(super) fn pair(listener: &TcpListener) -> Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((client, listener.accept()?.0))
}

/// A listener of its own.
pub(super) fn listen() -> Result<TcpListener> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)
}

/// Closes by a reset.
pub(super) fn abort(socket: impl AsFd) -> Result<()> {
    Ok(set_socket_linger(&socket, Some(Duration::ZERO))?)
}

/// Connections that both ends close: `active_opens`, `passive_opens`.
pub(super) fn connections(count: usize) -> Result<()> {
    let listener = listen()?;
    for _ in 0..count {
        drop(pair(&listener)?);
    }
    Ok(())
}

/// Connections to a port that does not listen: `attempt_fails`, `out_rsts`.
pub(super) fn refused(count: usize) -> Result<()> {
    // Bound only, so that nobody else can listen there.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let address = socket.local_addr()?;
    for _ in 0..count {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        ensure!(client.connect(&address).is_err(), "a closed port accepts");
    }
    Ok(())
}

/// Clients that reset instead of closing: `abort_on_data`, `out_rsts`, and twice, for both ends,
/// `estab_resets`.
pub(super) fn aborts(count: usize) -> Result<()> {
    let listener = listen()?;
    for _ in 0..count {
        let (client, _server) = pair(&listener)?;
        abort(client)?;
    }
    Ok(())
}

/// Servers that close and have not read what came: `abort_on_close`.
pub(super) fn aborts_with_data_to_come(count: usize) -> Result<()> {
    let listener = listen()?;
    for _ in 0..count {
        let (mut client, server) = pair(&listener)?;
        client.write_all(b"unread")?;
        wait::until("data", Duration::from_secs(10), || {
            Ok((server.peek(&mut [0])? > 0).then_some(()))
        })?;
        drop(server);
    }
    Ok(())
}

/// Closed connections that there is no room in TIME_WAIT for.
pub(super) fn time_wait_overflows(inside: &Inside, count: usize) -> Result<()> {
    let _none = Sysctl::set("net/ipv4/tcp_max_tw_buckets", "0")?;
    let listener = listen()?;
    inside.until_risen(&TCP_EXT, "time_wait_overflow", count, || {
        pair(&listener).map(drop)
    })
}
