//! A TCP peer in user space, behind a TUN device in a namespace, that answers as a test wants it:
//! with it real kernel sockets are put into any state, and stay there.
//!
//! ```text
//! kernel's sockets: 10.77.0.1, fd77::1 ── device `peer` ── 10.77.0.2, fd77::2: segments made here
//! ```
//!
//! Nothing answers by itself. What the kernel sends again is ignored, until it gives up: [`State`]
//! says when. No packet leaves the namespace. The device keeps the namespace alive.

mod connection;
mod device;
mod held;
mod link;
mod segment;
mod state;

use std::sync::Arc;

use anyhow::{Context, Result};

use crate::netns::{self, Netns};
use link::Link;

pub use held::Held;
pub use state::{Family, State};

/// The peer of one namespace.
#[derive(Debug)]
pub struct Peer {
    pid: u32,
    link: Arc<Link>,
}

impl Peer {
    /// Makes the device and the peer behind it. There can be one in a namespace at a time. IPv6 is
    /// enabled in the namespace if it was not.
    ///
    /// # Errors
    /// Without root's rights, `/dev/net/tun` or IPv6.
    pub fn new(netns: &Netns) -> Result<Self> {
        let device = netns.enter(device::create);
        let device = device.context("can't make the peer's device")?;
        Ok(Self {
            pid: netns.pid(),
            link: Arc::new(Link::new(device)?),
        })
    }

    /// Puts one socket into `state`.
    ///
    /// # Errors
    /// As [`hold_many`](Self::hold_many).
    pub fn hold(&self, family: Family, state: State) -> Result<Held> {
        self.hold_many(family, state, 1)
    }

    /// Puts `count` sockets into `state`, one after the other: they are in it when this returns.
    ///
    /// # Errors
    /// When one does not get there, or the namespace's process has ended.
    pub fn hold_many(&self, family: Family, state: State, count: usize) -> Result<Held> {
        let link = &self.link;
        netns::enter(self.pid, || {
            let mut held = Held::new(Arc::clone(link), self.pid, family, state);
            for number in 1..=count {
                held.add()
                    .with_context(|| format!("{family:?} {state:?}, {number} of {count}"))?;
            }
            Ok(held)
        })
    }
}
