//! Connections of MPTCP. Its sockets show states of their own where TCP's do; only their subflows
//! are TCP.

use anyhow::Result;
use socket2::{Protocol, Socket, Type};

use super::counts::Pair;
use super::loopback::{Loopback, Server, hear_end};
use crate::require::{Need, Unmet};

/// How subflows end is up to MPTCP, and to who is faster.
pub(super) const BESIDES: &[Pair] = &[
    ("established", "fin_wait1"),
    ("established", "close_wait"),
    ("established", "close"),
    ("fin_wait1", "fin_wait2"),
    ("fin_wait1", "closing"),
    ("fin_wait1", "close"),
    ("fin_wait2", "close"),
    ("closing", "close"),
    ("close_wait", "last_ack"),
    ("close_wait", "close"),
    ("last_ack", "close"),
];

/// Whether the kernel has it for this family, and the namespace has it enabled.
pub(super) fn is_there(on: Loopback) -> Need {
    let socket = Socket::new(on.domain(), Type::STREAM, Some(Protocol::MPTCP));
    socket
        .map(drop)
        .map_err(|error| Unmet(format!("MPTCP: {error}")))
}

pub(super) fn connections(on: Loopback, count: u64) -> Result<()> {
    let listener = on.socket_of(Some(Protocol::MPTCP))?;
    listener.bind(&on.address(0).into())?;
    let server = Server::new(on, listener, 16)?;
    for _ in 0..count {
        let client = on.socket_of(Some(Protocol::MPTCP))?;
        client.connect(&server.address.into())?;
        let (accepted, _) = server.listener.accept()?;
        drop(client);
        hear_end(&accepted)?;
    }
    Ok(())
}
