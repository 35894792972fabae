//! Listeners that end, and connections that they have not accepted.

use std::net::Shutdown;

use anyhow::{Context, Result};

use super::counts::{Counts, HALF_CLOSED_AND_RESET, LISTENER, OPENED, RESET, sum};
use super::loopback::{CLOSE, FIN_WAIT2, Loopback, Server, reach};

/// With nobody in its queue. Each is a listener twice.
pub(super) fn alone(on: Loopback, count: u64) -> Result<()> {
    for _ in 0..count {
        // One that is only bound makes no transition.
        let socket = on.bound()?;
        drop(on.bound()?);
        socket.listen(1)?;
        // Another length of the queue, and an end of writing, leave it as it is.
        socket.listen(2)?;
        socket.shutdown(Shutdown::Write)?;
        socket.shutdown(Shutdown::Both)?;
        socket.listen(1)?;
    }
    Ok(())
}

/// What follows when a listener ends before it accepts: half of its clients have closed.
pub(super) fn never_accepted(count: u64) -> Counts {
    let half_closed = count / 2;
    sum(&[
        (&LISTENER, 1),
        (&OPENED, count),
        (&HALF_CLOSED_AND_RESET, half_closed),
        (&RESET, 2 * (count - half_closed)),
    ])
}

pub(super) fn closed(on: Loopback, count: u64) -> Result<()> {
    end(on, count, |server| {
        drop(server);
        Ok(None)
    })
}

pub(super) fn shut_down(on: Loopback, count: u64) -> Result<()> {
    end(on, count, |server| {
        server.listener.shutdown(Shutdown::Both)?;
        Ok(Some(server))
    })
}

/// Fills a queue, and ends its listener.
fn end(on: Loopback, count: u64, how: impl FnOnce(Server) -> Result<Option<Server>>) -> Result<()> {
    // Room for all, requests included.
    let backlog = i32::try_from(count)?.checked_add(16);
    let server = Server::new(on, on.bound()?, backlog.context("too many")?)?;
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(server.connect()?);
    }
    server.queued(clients.len())?;
    let half_closed = || clients.iter().skip(1).step_by(2);
    for client in half_closed() {
        client.shutdown(Shutdown::Write)?;
    }
    // The kernel puts the acknowledgement off, since nobody reads there: once for all.
    half_closed().try_for_each(|client| reach(client, FIN_WAIT2))?;
    let ended = how(server)?;
    clients.iter().try_for_each(|client| reach(client, CLOSE))?;
    drop(ended);
    Ok(())
}
