//! The ends of connections that are still open, clients' and servers' in one heap.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use rustix::net::RecvFlags;
use socket2::Socket;

use super::dice::Dice;
use crate::sys;

/// States as the kernel numbers them.
const ESTABLISHED: u8 = 1;
const FIN_WAIT1: u8 = 4;
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
/// What is written, again and again, to fill a connection.
const STUFF: [u8; 4096] = [b'.'; 4096];
/// How often at most: more than both buffers have room for.
const STUFFINGS: usize = 256;

/// An end of a connection.
#[derive(Debug)]
pub(super) struct End {
    socket: Socket,
    local: SocketAddr,
    /// There is none before it is connected.
    remote: Option<SocketAddr>,
    /// Whether its FIN can't be expected to be acknowledged.
    stuck: Cell<bool>,
}

/// How an end is closed.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    Finish,
    Reset,
}

impl End {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        let plain = |address: SocketAddr| (address.ip().to_canonical(), address.port()).into();
        let local = socket.local_addr()?.as_socket();
        let local = local.ok_or(ErrorKind::AddrNotAvailable)?;
        let remote = socket
            .peer_addr()
            .ok()
            .and_then(|address| address.as_socket());
        Ok(Self {
            socket,
            local: plain(local),
            remote: remote.map(plain),
            stuck: Cell::new(false),
        })
    }

    /// Sends its FIN and stays open, if there is something to shut down.
    pub(super) fn finish(&self) {
        self.socket.shutdown(Shutdown::Write).ok();
    }

    /// Shuts both directions down.
    pub(super) fn finish_both(&self) {
        self.socket.shutdown(Shutdown::Both).ok();
    }

    /// Sends a byte, or tries to.
    pub(super) fn speak(&self) {
        self.socket.send(b".").ok();
    }

    /// Sends as much as goes, which nobody reads.
    pub(super) fn clog(&self) -> io::Result<()> {
        self.stuck.set(true);
        // Bounded, since there may be many; and enough for the other end's window of 64 KiB, since
        // that one takes its time to acknowledge what nobody reads.
        self.socket.set_send_buffer_size(128 * 1024)?;
        for _ in 0..STUFFINGS {
            if self.socket.send(&STUFF).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Whether the acknowledgement of its FIN is still to come.
    pub(super) fn is_unsettled(&self) -> bool {
        !self.stuck.get() && self.is(FIN_WAIT1)
    }

    /// Closes it.
    pub(super) fn close(self, how: How) -> io::Result<()> {
        close(self.socket, how)
    }

    fn is(&self, state: u8) -> bool {
        sys::tcp_state(&self.socket).is_ok_and(|seen| seen == state)
    }

    /// Makes the kernel acknowledge the peer's FIN now. It waits up to 40 ms otherwise, for
    /// something to send along; and it does only when all was read.
    fn hear(&self) {
        rustix::net::recv(&self.socket, &mut [0; 64], RecvFlags::empty()).ok();
        rustix::net::sockopt::set_tcp_quickack(&self.socket, true).ok();
    }
}

/// Closes a socket. Its FIN is sent before: a child of this process that was just forked has a
/// copy of the descriptor, and would put it off.
pub(super) fn close(socket: Socket, how: How) -> io::Result<()> {
    match how {
        How::Finish => socket.shutdown(Shutdown::Write).or(Ok(())),
        How::Reset => socket.set_linger(Some(Duration::ZERO)),
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Ends(Vec<End>);

impl Ends {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, socket: Socket) -> io::Result<()> {
        self.0.push(End::new(socket)?);
        Ok(())
    }

    /// Any one.
    pub(super) fn any(&self, dice: &mut Dice) -> Option<&End> {
        self.0.get(dice.below(self.0.len()))
    }

    /// Takes any one out.
    pub(super) fn take(&mut self, dice: &mut Dice) -> Option<End> {
        let at = dice.below(self.0.len());
        (at < self.0.len()).then(|| self.0.swap_remove(at))
    }

    /// Any one that is established with its other end, if that is open too. One that is connected
    /// to itself is both.
    pub(super) fn any_pair(&self, dice: &mut Dice) -> Option<(&End, &End)> {
        // Some have no other end: it was not accepted yet, or is closed.
        (0..8).find_map(|_| {
            let one = self.any(dice).filter(|end| end.is(ESTABLISHED))?;
            let is_other =
                |end: &&End| Some(end.local) == one.remote && end.remote == Some(one.local);
            Some((one, self.0.iter().find(is_other)?))
        })
    }

    /// Makes all that have heard their peer's FIN acknowledge it.
    pub(super) fn hear(&self) {
        for end in &self.0 {
            if end.is(CLOSE_WAIT) {
                end.hear();
            }
        }
    }

    pub(super) fn are_unsettled(&self) -> bool {
        self.0.iter().any(End::is_unsettled)
    }

    /// Expects nothing more of those that are unsettled.
    pub(super) fn give_up(&mut self) {
        for end in &self.0 {
            end.stuck.set(end.stuck.get() || end.is(FIN_WAIT1));
        }
    }

    /// Closes those that are no connection any more: refused, reset, timed out, closed at both
    /// ends.
    pub(super) fn sweep(&mut self) {
        self.0.retain(|end| !end.is(CLOSE));
    }
}
