//! Sockets that connect and never get there.

use std::net::Shutdown;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::io::Errno;
use socket2::Socket;

use super::counts::{CONNECTING, Counts, IN_VAIN, LISTENER, OPENED, RESET, sum};
use super::loopback::{CLOSE, Loopback, Server, reach};
use crate::sys;

/// A port where nobody listens, and which the kernel gives to nobody.
const NOBODY: u16 = 9;
/// The length of a queue that is filled. With none, some kernels would answer by cookies.
const BACKLOG: i32 = 1;
/// How many such a queue takes: one more than its length.
const FILLING: usize = 2;

pub(super) fn refused(on: Loopback, count: u64) -> Result<()> {
    for _ in 0..count {
        let error = on.socket()?.connect(&on.address(NOBODY).into()).err();
        let error = error.as_ref().and_then(Errno::from_io_error);
        ensure!(error == Some(Errno::CONNREFUSED), "{error:?}");
    }
    Ok(())
}

/// A listener that answers no SYN, since its queue is full.
struct Full {
    server: Server,
    clients: Vec<Socket>,
}

impl Full {
    fn new(on: Loopback) -> Result<Self> {
        let server = Server::new(on, on.bound()?, BACKLOG)?;
        let mut clients = Vec::new();
        // One after the other, since a request takes room too.
        for number in 1..=FILLING {
            clients.push(server.connect()?);
            server.queued(number)?;
        }
        Ok(Self { server, clients })
    }

    /// Closes the listener, which resets what waits in its queue.
    fn close(self) -> Result<()> {
        drop(self.server);
        self.clients
            .iter()
            .try_for_each(|client| reach(client, CLOSE))
    }
}

/// What follows when sockets connect to a full listener in vain.
pub(super) fn in_vain_to_full(count: u64) -> Counts {
    let filling = FILLING as u64;
    sum(&[
        (&LISTENER, 1),
        (&OPENED, filling),
        (&RESET, 2 * filling),
        (&CONNECTING, count),
        (&IN_VAIN, count),
    ])
}

/// All of them wait at once, for the second that passes before a SYN is sent again.
pub(super) fn timed_out(on: Loopback, count: u64) -> Result<()> {
    let full = Full::new(on)?;
    let mut waiting = Vec::new();
    for _ in 0..count {
        let client = on.socket()?;
        // From Linux 6.5 on four more are sent, at a second's distance; the other option ends
        // that. On older ones it is the first that does.
        sys::set_syn_count(&client, 1)?;
        client.set_tcp_user_timeout(Some(Duration::from_millis(500)))?;
        waiting.push(full.server.connect_in_vain(client)?);
    }
    for client in waiting {
        reach(&client, CLOSE)?;
        let error = client.take_error()?;
        let error = error.as_ref().and_then(Errno::from_io_error);
        ensure!(error == Some(Errno::TIMEDOUT), "{error:?}");
    }
    full.close()
}

/// Closed in even rounds, shut down in odd ones.
pub(super) fn closed_while_connecting(on: Loopback, count: u64) -> Result<()> {
    let full = Full::new(on)?;
    for round in 0..count {
        let client = full.server.connect_in_vain(on.socket()?)?;
        if !round.is_multiple_of(2) {
            client.shutdown(Shutdown::Both)?;
            reach(&client, CLOSE)?;
        }
    }
    full.close()
}
