//! What a [`Chaos`] does. On loopback the kernel has dealt with a segment when the system call
//! that sent it returns, so that nothing is waited for here.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Result;
use socket2::Socket;

use super::dice::Dice;
use super::ends::{End, How, close};
use super::listener::{Kind, Listener, Way, connect, connect_to_self};
use super::{ACKNOWLEDGED, Action, Chaos, LISTENERS, MOST};

/// Ports for listeners: none that the kernel chooses for clients.
pub(super) const PORTS: std::ops::RangeInclusive<u16> = 10_000..=30_000;
/// A port where nobody listens.
const NOBODY: u16 = 9;
/// The most connections of a burst.
const BURST: usize = 50;
/// The most minisocks in TIME_WAIT that are made; beyond, bursts leave none.
const TIME_WAIT: u64 = 2_000;

impl Chaos {
    pub(super) fn act(&mut self, action: Action, dice: &mut Dice) -> Result<()> {
        match action {
            Action::Listen => self.listen(dice)?,
            Action::CloseListener => {
                let at = dice.below(self.listeners.len());
                if at < self.listeners.len() {
                    self.listeners.swap_remove(at).close();
                }
            }
            Action::Connect => self.connect(dice)?,
            Action::Accept => self.accept(dice)?,
            Action::HalfClose => {
                if let Some(end) = self.ends.any(dice) {
                    end.finish();
                    self.ends.hear();
                }
            }
            Action::Close => {
                let end = self.ends.take(dice);
                self.close(end.into_iter().collect(), How::Finish)?;
            }
            Action::Reset => {
                let count = dice.up_to(3);
                let ends = (0..count).filter_map(|_| self.ends.take(dice)).collect();
                self.close(ends, How::Reset)?;
            }
            Action::CloseBoth => {
                if let Some((one, other)) = self.ends.any_pair(dice) {
                    if dice.one_in(2) {
                        one.finish();
                        other.finish();
                    } else {
                        one.finish_both();
                        other.finish_both();
                    }
                }
            }
            Action::Speak => {
                if let Some(end) = self.ends.any(dice) {
                    end.speak();
                }
            }
            Action::Clog => self.clog(dice)?,
            Action::Refused => {
                let way = dice.pick(&[Way::V4, Way::V6, Way::Mapped]);
                drop(connect(way, NOBODY)?);
            }
            Action::ConnectToSelf => {
                let way = dice.pick(&[Way::V4, Way::V6, Way::Mapped]);
                let port = self.port();
                if self.has_room(1)
                    && let Some(socket) = connect_to_self(way, port)?
                {
                    self.ends.push(socket)?;
                }
            }
            Action::Overflow => self.overflow(dice)?,
            Action::DropMany => self.drop_many(dice)?,
            Action::Burst => self.burst(dice)?,
        }
        Ok(())
    }

    fn listen(&mut self, dice: &mut Dice) -> io::Result<()> {
        let kind = Kind::random(dice);
        let port = self.port();
        let count = if kind.shared { dice.up_to(4) } else { 1 };
        for _ in 0..count {
            if self.listeners.len() < LISTENERS && self.has_room(1) {
                self.listeners.extend(Listener::open(kind, port)?);
            }
        }
        Ok(())
    }

    /// Connects up to four times to one listener, which may be full by then.
    fn connect(&mut self, dice: &mut Dice) -> io::Result<()> {
        let at = dice.below(self.listeners.len());
        let count = dice.up_to(4);
        if let Some(listener) = self.listeners.get(at)
            && self.has_room(count)
        {
            for _ in 0..count {
                if let Some(client) = listener.connect(dice)? {
                    self.ends.push(client)?;
                }
            }
        }
        Ok(())
    }

    /// Accepts up to eight that wait at one listener.
    fn accept(&mut self, dice: &mut Dice) -> io::Result<()> {
        let at = dice.below(self.listeners.len());
        let count = dice.up_to(8);
        if let Some(listener) = self.listeners.get(at)
            && self.has_room(count)
        {
            for _ in 0..count {
                let Some(server) = listener.accept()? else {
                    break;
                };
                self.ends.push(server)?;
            }
        }
        // One that was closed while it waited.
        self.ends.hear();
        Ok(())
    }

    /// Fills a connection that nobody reads, and closes it or not: the FIN waits behind the rest,
    /// in FIN_WAIT1, CLOSING or LAST_ACK, by who else has closed before and after.
    fn clog(&mut self, dice: &mut Dice) -> io::Result<()> {
        if let Some((one, other)) = self.ends.any_pair(dice) {
            one.clog()?;
            let order: &[&End] = match dice.below(5) {
                0 => &[],
                1 => &[one],
                2 | 3 => &[one, other],
                _ => &[other, one],
            };
            for end in order {
                end.finish();
                self.ends.hear();
            }
        }
        Ok(())
    }

    /// Connects to a listener until its queue is full, and then some more.
    fn overflow(&mut self, dice: &mut Dice) -> io::Result<()> {
        let more = dice.up_to(4);
        let small = |listener: &&Listener| listener.kind.backlog <= 2;
        if let Some(listener) = self.listeners.iter().find(small)
            // The queue takes one more than its length.
            && self.has_room(3 + more)
        {
            for _ in 0..=listener.kind.backlog + more {
                if let Some(client) = listener.connect(dice)? {
                    self.ends.push(client)?;
                }
            }
        }
        Ok(())
    }

    /// Closes up to half of all ends.
    fn drop_many(&mut self, dice: &mut Dice) -> io::Result<()> {
        let count = dice.up_to(self.ends.len().div_ceil(2));
        let ends = (0..count).filter_map(|_| self.ends.take(dice)).collect();
        self.close(ends, dice.pick(&[How::Finish, How::Finish, How::Reset]))
    }

    /// Connections to a listener of their own, which are all closed in the end: by the client
    /// first, by the server first, by a reset, or by the listener, before they are accepted.
    fn burst(&mut self, dice: &mut Dice) -> Result<()> {
        let (kind, port) = (Kind::roomy(dice), self.port());
        let Some(listener) = Listener::open(kind, port)? else {
            return Ok(());
        };
        let crowded = time_wait()? > TIME_WAIT;
        for _ in 0..dice.up_to(BURST) {
            let accepted = !dice.one_in(8);
            let reset = dice.one_in(4) || crowded;
            let server_first = dice.one_in(2);
            let client = listener.connect(dice)?;
            let server: Option<Socket> = if accepted { listener.accept()? } else { None };
            let (first, second) = if server_first {
                (server, client)
            } else {
                (client, server)
            };
            let how = if reset { How::Reset } else { How::Finish };
            for socket in [first, second].into_iter().flatten() {
                close(socket, how)?;
            }
        }
        listener.close();
        Ok(())
    }

    /// Closes them all. Each sends its FIN first, and the ends that are left acknowledge it. Those
    /// whose acknowledgement is still to come are closed at the end of `steps`.
    fn close(&mut self, ends: Vec<End>, how: How) -> io::Result<()> {
        if let How::Finish = how {
            ends.iter().for_each(End::finish);
            self.ends.hear();
        }
        for end in ends {
            match how {
                How::Finish if end.is_unsettled() => self.closing.push(end),
                _ => end.close(how)?,
            }
        }
        Ok(())
    }

    /// Waits until what was sent is acknowledged: the kernel puts that off where nobody can be
    /// made to read, in a queue of connections to accept.
    pub(super) fn settle(&mut self) {
        let start = Instant::now();
        while self.ends.are_unsettled() || self.closing.iter().any(End::is_unsettled) {
            if start.elapsed() > ACKNOWLEDGED {
                // It was dropped at a full queue, and comes again for longer than can be waited.
                self.ends.give_up();
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.closing.clear();
    }

    /// A port for a listener. They come again after 20,000.
    fn port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = if port == *PORTS.end() {
            *PORTS.start()
        } else {
            port + 1
        };
        port
    }

    fn has_room(&self, count: usize) -> bool {
        self.open() + count <= MOST
    }
}

/// How many minisocks are in TIME_WAIT in this thread's namespace.
fn time_wait() -> Result<u64> {
    let table = std::fs::read_to_string("/proc/thread-self/net/sockstat")?;
    let count = table
        .split_once(" tw ")
        .and_then(|(_, rest)| rest.split(' ').next());
    Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
}
