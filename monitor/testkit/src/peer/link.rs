//! The peer's end of the device: one thread that reads what the kernel sends and remembers it by
//! connection, and the sending of segments. It answers nothing by itself, so that a socket stays
//! in the state that it was brought to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

use super::device::{PEER_V4, PEER_V6};
use super::segment::{RST, Segment};

/// How long the kernel may take to send what is waited for. It does so at once, unless the
/// machine is busy or a packet was dropped and comes again.
const SOON: Duration = Duration::from_secs(5);
/// The peer's ports.
const PORTS: std::ops::RangeInclusive<u16> = 1024..=u16::MAX;

/// What the kernel has sent on one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The flags of all segments.
    flags: u8,
    /// The sequence number after all it has sent.
    pub(super) next: u32,
}

/// By the peer's address and port, since each connection has a port of the peer's own.
#[derive(Debug, Default)]
struct Sent {
    by_peer: Mutex<HashMap<SocketAddr, Seen>>,
    changed: Condvar,
}

/// The device with its reader, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Link {
    device: Arc<OwnedFd>,
    sent: Arc<Sent>,
    stop: Arc<OwnedFd>,
    reader: Option<JoinHandle<()>>,
    next_port: AtomicU16,
}

impl Link {
    /// Starts to read `device`.
    pub(super) fn new(device: OwnedFd) -> Result<Self> {
        let device = Arc::new(device);
        let sent = Arc::new(Sent::default());
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let (from, to, end) = (device.clone(), sent.clone(), stop.clone());
        let reader = std::thread::Builder::new()
            .name("peer".into())
            .spawn(move || read(&from, &to, &end))?;
        Ok(Self {
            device,
            sent,
            stop,
            reader: Some(reader),
            next_port: AtomicU16::new(*PORTS.start()),
        })
    }

    /// A port of the peer for one connection. They come again after 64,512 connections.
    pub(super) fn port(&self) -> u16 {
        let next = |port| {
            Some(if port == u16::MAX {
                *PORTS.start()
            } else {
                port + 1
            })
        };
        let order = Ordering::Relaxed;
        let (Ok(port) | Err(port)) = self.next_port.fetch_update(order, order, next);
        // What was seen of an earlier one is forgotten.
        let mut sent = self.sent.lock();
        sent.remove(&(PEER_V4, port).into());
        sent.remove(&(PEER_V6, port).into());
        port
    }

    /// Sends a segment. The kernel has dealt with it when this returns, as long as no system call
    /// on its socket is under way.
    pub(super) fn send(&self, segment: &Segment) -> Result<()> {
        let packet = segment.packet().context("addresses of two families")?;
        let length = rustix::io::write(&*self.device, &packet)
            .with_context(|| format!("can't send {segment:?}"))?;
        ensure!(length == packet.len(), "only a part of {segment:?} went");
        Ok(())
    }

    /// Waits until the kernel has sent all these flags to `peer`.
    pub(super) fn wait(&self, peer: SocketAddr, flags: u8) -> Result<Seen> {
        let lacks = |sent: &mut HashMap<SocketAddr, Seen>| {
            let seen = sent.get(&peer).map_or(0, |seen| seen.flags);
            // After a reset nothing else will come.
            seen & flags != flags && seen & RST == 0
        };
        let sent = self
            .sent
            .changed
            .wait_timeout_while(self.sent.lock(), SOON, lacks);
        let (sent, _) = sent.unwrap_or_else(PoisonError::into_inner);
        match sent.get(&peer) {
            Some(seen) if seen.flags & flags == flags => Ok(*seen),
            seen => bail!("waited for flags {flags:#x} to {peer}, the kernel sent {seen:x?}"),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // An eventfd that nobody reads takes one more.
        rustix::io::write(&*self.stop, &1_u64.to_ne_bytes()).ok();
        // A reader that panicked has said so on standard error.
        self.reader.take().map(JoinHandle::join);
    }
}

impl Sent {
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Seen>> {
        self.by_peer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, segment: &Segment) {
        let mut sent = self.lock();
        let next = segment.next();
        let seen = sent.entry(segment.to).or_insert(Seen { flags: 0, next });
        seen.flags |= segment.flags;
        // What is sent again does not go back.
        if next.wrapping_sub(seen.next).cast_signed() > 0 {
            seen.next = next;
        }
        self.changed.notify_all();
    }
}

/// Reads packets until `stop` can be read.
fn read(device: &OwnedFd, sent: &Sent, stop: &OwnedFd) {
    let mut packet = vec![0; 65_536];
    loop {
        let mut either = [
            PollFd::new(device, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        if poll(&mut either, None).is_err_and(|error| error != Errno::INTR)
            || !either[1].revents().is_empty()
        {
            return;
        }
        match rustix::io::read(device, &mut packet[..]) {
            Ok(length) => {
                // The rest is what the kernel tells any network: routers sought, groups joined.
                if let Some(segment) = Segment::read(&packet[..length]) {
                    sent.add(&segment);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The device is gone, with its namespace.
            Err(_) => return,
        }
    }
}
