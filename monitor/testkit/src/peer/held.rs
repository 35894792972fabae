//! Sockets that are held in a state, and the way there.

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use socket2::Socket;

use super::connection::{Connection, listen};
use super::link::Link;
use super::state::{Family, State};
use crate::ss::States;
use crate::{proc_net_tcp, sys, wait};

/// How many requests wait at one listener. With more than it may have, the kernel would answer by
/// cookies and keep nothing; somaxconn was 128 before Linux 5.4.
const REQUESTS: usize = 100;

/// Sockets in one state, until this is dropped: then the peer resets them all, and nothing is
/// left of them.
#[derive(Debug)]
pub struct Held {
    link: Arc<Link>,
    pid: u32,
    family: Family,
    state: State,
    count: usize,
    connections: Vec<Connection>,
    listeners: Vec<(Socket, u16)>,
    /// Those that are still open.
    sockets: Vec<Socket>,
}

impl Held {
    pub(super) fn new(link: Arc<Link>, pid: u32, family: Family, state: State) -> Self {
        Self {
            link,
            pid,
            family,
            state,
            count: 0,
            connections: Vec::new(),
            listeners: Vec::new(),
            sockets: Vec::new(),
        }
    }

    /// What [`ss::states`](crate::ss::states) counts of them: the listeners of requests too.
    pub fn states(&self) -> States {
        let family = self.family.label();
        let mut states = States::new();
        for (state, count) in [
            (self.state.label(), self.count),
            (State::Listen.label(), self.listeners.len()),
        ] {
            if count > 0 {
                // What is counted fits: each was made one by one.
                states.insert((family, state), count as u64);
            }
        }
        states
    }

    /// How many there are, without the listeners of requests.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The kernel's sockets that are still open: none of those that are closed on their way.
    pub fn sockets(&self) -> &[Socket] {
        &self.sockets
    }

    /// The kernel's port and the peer's of each connection; a listener has none.
    pub fn ports(&self) -> Vec<(u16, u16)> {
        self.connections.iter().map(Connection::ports).collect()
    }

    /// Closes the kernel's sockets that are still open, while the peer says nothing.
    pub fn close(&mut self) {
        self.sockets.clear();
    }

    /// The peer resets all connections, and listeners are closed. As dropping does, but says what
    /// went wrong.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn reset(mut self) -> Result<()> {
        self.send_resets()
    }

    fn send_resets(&mut self) -> Result<()> {
        let mut connections = std::mem::take(&mut self.connections).into_iter();
        connections.try_for_each(|mut connection| connection.reset(&self.link))
    }

    /// Brings one more into the state. Called inside the namespace.
    pub(super) fn add(&mut self) -> Result<()> {
        match self.state {
            State::Listen => self.sockets.push(listen(self.family, 8)?.0),
            State::SynRecv => self.add_request()?,
            _ => self.add_socket()?,
        }
        self.count += 1;
        Ok(())
    }

    /// A connection of the peer's that waits for its last acknowledgement.
    fn add_request(&mut self) -> Result<()> {
        if self.count.is_multiple_of(REQUESTS) {
            let backlog = i32::try_from(REQUESTS)?;
            self.listeners.push(listen(self.family, backlog)?);
        }
        if let Some((_, port)) = self.listeners.last() {
            let connection = Connection::to_kernel(&self.link, self.family, *port)?;
            self.connections.push(connection);
        }
        Ok(())
    }

    /// A socket that connects to the peer, and what comes after.
    fn add_socket(&mut self) -> Result<()> {
        let link = Arc::clone(&self.link);
        let (connection, socket) = Connection::from_kernel(&link, self.family)?;
        // From here on it is reset when the rest fails.
        self.connections.push(connection);
        let at = self.connections.len() - 1;
        let connection = &mut self.connections[at];
        match self.state {
            State::Listen | State::SynRecv | State::SynSent => {}
            State::SynRecvFull => connection.connect_too(&link)?,
            _ => connection.accept(&link)?,
        }
        if let State::CloseWait | State::LastAck = self.state {
            connection.finish(&link)?;
        }
        // Closing alone would not send the FIN while a child of this process, just forked, still
        // has a copy of the descriptor.
        match self.state {
            State::FinWait1 | State::LastAck => {
                socket.shutdown(Shutdown::Write)?;
                connection.see_finish(&link)?;
            }
            State::Closing => {
                socket.shutdown(Shutdown::Write)?;
                connection.see_finish(&link)?;
                connection.finish(&link)?;
            }
            State::FinWait2 | State::FinWait2Closed => {
                socket.shutdown(Shutdown::Write)?;
                connection.acknowledge_finish(&link)?;
            }
            State::TimeWait => {
                socket.shutdown(Shutdown::Write)?;
                connection.acknowledge_finish(&link)?;
                connection.finish(&link)?;
            }
            _ => {}
        }
        self.check(&socket)?;
        match self.state {
            State::SynSent
            | State::SynRecvFull
            | State::Established
            | State::FinWait2
            | State::CloseWait => self.sockets.push(socket),
            State::FinWait2Closed => self.close_to_minisock(socket)?,
            _ => {}
        }
        Ok(())
    }

    /// Demands that the kernel has the socket in the state, before it is closed.
    fn check(&self, socket: &Socket) -> Result<()> {
        let (seen, expected) = (sys::tcp_state(socket)?, self.state.number());
        ensure!(
            seen == expected,
            "the kernel has it in state {seen}, not {expected}"
        );
        Ok(())
    }

    /// Closes the last socket, in FIN_WAIT2, and waits until it has become a minisock: at once,
    /// unless a child of this process, just forked, still has a copy of the descriptor.
    fn close_to_minisock(&self, socket: Socket) -> Result<()> {
        drop(socket);
        let ports = self.connections.last().map(Connection::ports);
        let (local, remote) = ports.unwrap_or_default();
        wait::until("a minisock", Duration::from_secs(5), || {
            let entry = proc_net_tcp::find(self.pid, self.family.label(), local, remote)?;
            Ok(entry.filter(|entry| entry.minisock).map(drop))
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Fails when the device is gone with its namespace, and the sockets with it.
        self.send_resets().ok();
    }
}
