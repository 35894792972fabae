//! All open connections: how many there may be, how long each may take for what, and which is
//! given up for another.
//!
//! A connection costs a descriptor and some memory, and whoever reaches the port can open them.
//! None is refused for that: the one of least use makes room.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::task::AbortHandle;

/// How much of answers may be held for clients that read slowly. An answer that several get
/// counts once.
const MAX_UNREAD: usize = 32 << 20;

/// What a connection does, in the order in which connections are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It has asked for nothing yet: a handshake, half a header, or not a byte.
    Opening,
    /// It is being sent an answer.
    Writing,
    /// It has had an answer, and may ask again.
    Idle,
    /// It waits for us.
    Working,
}

impl Phase {
    /// How long it may take; a request is bounded by the deadline of its scrape.
    fn limit(self) -> Duration {
        match self {
            Self::Opening => Duration::from_secs(10),
            Self::Writing => Duration::from_secs(30),
            // Longer than Prometheus waits between two scrapes.
            Self::Idle => Duration::from_secs(300),
            Self::Working => Duration::MAX,
        }
    }
}

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    phase: Phase,
    since: Instant,
    task: Option<AbortHandle>,
    /// Where the answers lie that are being sent, and their lengths, in their order.
    unread: Vec<(usize, usize)>,
    /// The next request has come while an answer is still being sent.
    pending: bool,
}

impl Connections {
    /// No connection yet, and never more than about `limit`.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            state: Mutex::default(),
        })
    }

    /// Takes a new connection in, and gives up others where there are too many.
    pub(super) fn open(self: &Arc<Self>) -> Slot {
        let mut state = self.state();
        while state.open.len() >= self.limit && state.give_up_one(|_| true) {}
        let id = state.next;
        state.next += 1;
        state.open.insert(
            id,
            Entry {
                phase: Phase::Opening,
                since: Instant::now(),
                task: None,
                unread: Vec::new(),
                pending: false,
            },
        );
        drop(state);
        Slot {
            id,
            connections: Arc::clone(self),
        }
    }

    /// Says which task a connection is served by, to be stopped when it is given up.
    pub(super) fn served_by(&self, id: u64, task: AbortHandle) {
        match self.state().open.get_mut(&id) {
            Some(entry) => entry.task = Some(task),
            None => task.abort(),
        }
    }

    /// Gives one up, where there is one: descriptors have run out.
    pub(super) fn give_up_one(&self) {
        self.state().give_up_one(|_| true);
    }

    /// Closes those that take too long.
    pub(super) fn close_late(&self, now: Instant) {
        let is_late =
            |entry: &Entry| now.saturating_duration_since(entry.since) > entry.phase.limit();
        let mut state = self.state();
        while state.give_up_one(is_late) {}
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives up the one of least use among those that fit, and says whether there was one.
    fn give_up_one(&mut self, fits: impl Fn(&Entry) -> bool) -> bool {
        let fitting = self.open.iter().filter(|(_, entry)| fits(entry));
        let least = fitting.min_by_key(|(_, entry)| (entry.phase, entry.since));
        let Some(id) = least.map(|(id, _)| *id) else {
            return false;
        };
        if let Some(task) = self.open.remove(&id).and_then(|entry| entry.task) {
            task.abort();
        }
        true
    }

    /// Bytes of distinct answers that are being sent.
    fn unread(&self) -> usize {
        let answers = self.open.values().flat_map(|entry| &entry.unread);
        let answers: BTreeSet<&(usize, usize)> = answers.collect();
        answers.into_iter().map(|(_, length)| length).sum()
    }
}

/// One connection's place. It is free when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    connections: Arc<Connections>,
}

impl Slot {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// A request has come.
    pub(super) fn working(&self) {
        self.change(Entry::work);
    }

    /// Its answer is there: until `body` is let go of, the connection is writing.
    pub(super) fn writing(self: &Arc<Self>, body: Bytes) -> Bytes {
        let unread = (body.as_ptr().addr(), body.len());
        self.change(|entry| entry.write(unread));
        let mut state = self.connections.state();
        let is_other = |entry: &Entry| entry.unread.iter().any(|other| *other != unread);
        while state.unread() > MAX_UNREAD && state.give_up_one(is_other) {}
        drop(state);
        Bytes::from_owner(Sending {
            body,
            unread,
            slot: Arc::clone(self),
        })
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.connections.state().open.get_mut(&self.id) {
            change(entry);
        }
    }
}

impl Entry {
    /// With pipelining a request may come while the answer before it is held: whoever does not read
    /// that one does not wait for us, whatever was asked for since. `room` has hyper take none
    /// then; what is accounted here does not rest on it.
    fn work(&mut self) {
        if self.unread.is_empty() {
            self.enter(Phase::Working);
        } else {
            self.pending = true;
        }
    }

    fn write(&mut self, unread: (usize, usize)) {
        // The time of the one that is being sent goes on.
        if self.unread.is_empty() {
            self.enter(Phase::Writing);
        }
        self.unread.push(unread);
        self.pending = false;
    }

    fn sent(&mut self, unread: (usize, usize)) {
        let Some(at) = self.unread.iter().position(|one| *one == unread) else {
            return;
        };
        self.unread.remove(at);
        let phase = if !self.unread.is_empty() {
            Phase::Writing
        } else if std::mem::take(&mut self.pending) {
            Phase::Working
        } else {
            Phase::Idle
        };
        self.enter(phase);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.state().open.remove(&self.id);
    }
}

/// The body of an answer that is being sent.
struct Sending {
    body: Bytes,
    unread: (usize, usize),
    slot: Arc<Slot>,
}

impl AsRef<[u8]> for Sending {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.slot.change(|entry| entry.sent(self.unread));
    }
}

#[cfg(test)]
mod tests;
