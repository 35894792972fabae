//! A bounded random workload in one namespace, on its loopback: whatever programs do to TCP
//! sockets, in an order that a seed determines.
//!
//! The order of actions is the same for the same seed. What comes of them also depends on the
//! kernel: the ports it chooses, the listener it picks among several at one port, and its timers.

mod act;
mod dice;
mod ends;
mod listener;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use dice::Dice;
use ends::{End, Ends};
use listener::Listener;

/// The most sockets that one [`Chaos`] keeps open. In a burst it has three more for a moment.
pub const MOST: usize = 300;
/// The most listeners among them.
const LISTENERS: usize = 40;
/// How long the kernel may wait before it acknowledges a FIN that nobody reads (40 ms), and two
/// ticks of its slowest clock.
const ACKNOWLEDGED: Duration = Duration::from_millis(60);

/// Something that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Opens a listener, or several at one port.
    Listen,
    /// Closes a listener, with all that wait at it.
    CloseListener,
    /// Connects a few times to a listener.
    Connect,
    /// Accepts what waits at a listener, or some of it.
    Accept,
    /// Sends an end's FIN and keeps it open.
    HalfClose,
    /// Closes an end.
    Close,
    /// Resets.
    Reset,
    /// Shuts both ends of a connection down, without reading.
    CloseBoth,
    /// Sends a byte that may be read or not.
    Speak,
    /// Sends more than the other end has room for, and closes neither end, or one, or both.
    Clog,
    /// Connects to a port where nobody listens.
    Refused,
    /// Connects a socket to itself.
    ConnectToSelf,
    /// Fills the queue of a listener, and connects on.
    Overflow,
    /// Closes many ends at once.
    DropMany,
    /// Makes up to 50 connections and closes them.
    Burst,
}

/// How often each action comes, in a hundred.
const WEIGHTS: [(Action, usize); 15] = [
    (Action::Listen, 7),
    (Action::CloseListener, 3),
    (Action::Connect, 22),
    (Action::Accept, 16),
    (Action::HalfClose, 10),
    (Action::Close, 9),
    (Action::Reset, 5),
    (Action::CloseBoth, 5),
    (Action::Speak, 6),
    (Action::Clog, 3),
    (Action::Refused, 3),
    (Action::ConnectToSelf, 3),
    (Action::Overflow, 3),
    (Action::DropMany, 2),
    (Action::Burst, 3),
];

/// The workload, with the sockets that it has open. They belong to the namespace of the thread
/// that called [`steps`](Self::steps) first, and are closed when this is dropped.
#[derive(Debug)]
pub struct Chaos {
    dice: Dice,
    listeners: Vec<Listener>,
    ends: Ends,
    next_port: u16,
    /// Ends that are closed as soon as the FIN that they sent is acknowledged.
    closing: Vec<End>,
    netns: Option<PathBuf>,
    done: BTreeMap<Action, u64>,
    last: Vec<Action>,
}

impl Chaos {
    /// A workload that has done nothing yet.
    pub fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            listeners: Vec::new(),
            ends: Ends::default(),
            next_port: *act::PORTS.start(),
            closing: Vec::new(),
            netns: None,
            done: BTreeMap::new(),
            last: Vec::new(),
        }
    }

    /// Does `count` random things, on a thread inside a namespace (see
    /// [`Netns::enter`](crate::netns::Netns::enter)), always the same one. What is left in the
    /// end stays as it is until a timer of the kernel changes it: a second for what connects to a
    /// full queue, a minute for TIME_WAIT. A step takes a few milliseconds at most; at the end
    /// this waits for acknowledgements that are still to come, 60 ms at most.
    ///
    /// # Errors
    /// In another namespace than before, and when the kernel refuses what it should not: no
    /// descriptors left, no IPv6.
    pub fn steps(&mut self, count: usize) -> Result<()> {
        let netns = std::fs::read_link("/proc/thread-self/ns/net")?;
        let first = self.netns.get_or_insert_with(|| netns.clone());
        ensure!(*first == netns, "in {netns:?} now, in {first:?} before");
        self.last.clear();
        for _ in 0..count {
            // Dice of its own: how often it throws them does not change the actions after it.
            let mut dice = Dice::new(self.dice.next());
            let action = choose(&mut dice);
            *self.done.entry(action).or_default() += 1;
            self.last.push(action);
            self.act(action, &mut dice)
                .with_context(|| format!("can't do {action:?}, after {:?}", self.last))?;
        }
        self.settle();
        self.ends.sweep();
        Ok(())
    }

    /// How many sockets it has open: [`MOST`] at most.
    pub fn open(&self) -> usize {
        self.listeners.len() + self.ends.len() + self.closing.len()
    }

    /// How often it has done what.
    pub fn done(&self) -> &BTreeMap<Action, u64> {
        &self.done
    }

    /// What the last call of [`steps`](Self::steps) did, in order.
    pub fn last(&self) -> &[Action] {
        &self.last
    }
}

/// A random action.
fn choose(dice: &mut Dice) -> Action {
    let mut number = dice.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
    for (action, weight) in WEIGHTS {
        if number < weight {
            return action;
        }
        number -= weight;
    }
    Action::Listen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::Netns;
    use crate::{require, sys};
    use listener::Kind;

    /// The kernel puts the acknowledgement of a FIN off. What the other end can be made to do is
    /// done at once; where it is not accepted, `steps` does not return before.
    #[test]
    fn what_was_closed_is_acknowledged_in_the_end() -> Result<()> {
        crate::require!(require::root());
        let netns = Netns::new("kit-chaos-ack")?;
        let mut dice = Dice::new(2);
        for (action, accepted) in [
            (Action::HalfClose, true),
            (Action::HalfClose, false),
            (Action::Close, false),
        ] {
            let mut chaos = Chaos::new(1);
            let state = netns.enter(|| {
                let listener = Listener::open(Kind::roomy(&mut dice), 80)?.context("taken")?;
                let client = listener.connect(&mut dice)?.context("no port")?;
                let judge = client.try_clone()?;
                chaos.ends.push(client)?;
                chaos.listeners.push(listener);
                if accepted {
                    chaos.act(Action::Accept, &mut dice)?;
                }
                // A byte, after which the kernel waits for 40 ms, not only for its next tick.
                judge.send(b".")?;
                chaos.act(action, &mut dice)?;
                let unsettled =
                    chaos.ends.are_unsettled() || chaos.closing.iter().any(End::is_unsettled);
                assert_eq!(unsettled, !accepted, "{action:?}");
                chaos.steps(0)?;
                Ok(sys::tcp_state(&judge)?)
            })?;
            // FIN_WAIT2, or CLOSE_WAIT if the server's end was the one to be closed.
            assert!(state == 5 || accepted && state == 8, "{action:?}: {state}");
        }
        Ok(())
    }

    #[test]
    fn keeps_no_more_open_than_it_may() -> Result<()> {
        crate::require!(require::root());
        let netns = Netns::new("kit-chaos-most")?;
        let mut chaos = Chaos::new(1);
        let open = |action, chaos: &mut Chaos| -> Result<usize> {
            for number in 0..400 {
                chaos.act(action, &mut Dice::new(number))?;
            }
            Ok(chaos.open())
        };
        netns.enter(|| {
            assert_eq!(open(Action::Listen, &mut chaos)?, LISTENERS);
            // Fewer than the most by what they may need in one go.
            for action in [Action::Connect, Action::Overflow, Action::Accept] {
                assert!((MOST - 8..=MOST).contains(&open(action, &mut chaos)?));
            }
            assert_eq!(open(Action::ConnectToSelf, &mut chaos)?, MOST);
            assert_eq!(open(Action::Listen, &mut chaos)?, MOST);
            Ok(())
        })
    }
}
