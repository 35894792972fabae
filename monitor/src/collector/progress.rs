//! What a collection under way has found so far: for scrapes that cannot wait for all of it.
//!
//! A collection writes its text here as it goes, so that nothing is copied where it ends in time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::metrics::own::{CollectorStatus, OwnMetrics, OwnStatus};
use crate::metrics::shorten::Shown;
use crate::metrics::{Ages, Exposition};

/// How old a part of a collection may be. What a collection that hangs found first says nothing
/// of now.
const MAX_AGE: Duration = Duration::from_secs(60);

/// The collection under way.
#[derive(Debug)]
pub struct Progress {
    own: OwnMetrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    started: Option<Instant>,
    /// The collectors whose rows a whole collection has.
    expected: Vec<&'static str>,
    text: String,
    /// How many series there may be, and whose go first.
    limit: Option<(u64, Arc<Ages>)>,
    shown: Shown,
    now: OwnStatus,
    /// Of the last collection that ended.
    last: OwnStatus,
    last_len: usize,
}

impl Progress {
    pub(super) fn new(own: OwnMetrics) -> Self {
        Self {
            own,
            state: Mutex::default(),
        }
    }

    /// Begins a collection that is to have the rows of `expected`.
    pub(super) fn begin(&self, expected: Vec<&'static str>) {
        let mut state = self.state();
        state.started = Some(Instant::now());
        state.expected = expected;
        state.now = OwnStatus::default();
        state.limit = None;
        state.text = String::with_capacity(state.last_len + state.last_len / 8);
    }

    /// Lets `write` append families, and gives what it gives.
    pub(super) fn write(&self, write: impl FnOnce(&mut String) -> u64) -> u64 {
        write(&mut self.state().text)
    }

    /// Says how many series the collection may have, and whose go first.
    pub(super) fn limit(&self, limit: u64, ages: Ages) {
        self.state().limit = Some((limit, Arc::new(ages)));
    }

    /// Takes out what is over the limit, and says how many series that was.
    pub(super) fn shorten(&self) -> u64 {
        let mut state = self.state();
        let state = &mut *state;
        match state.limit.take() {
            Some((limit, ages)) => state.shown.shorten(&mut state.text, limit, &ages),
            None => 0,
        }
    }

    /// Says how the collection fared so far.
    pub(super) fn publish(&self, status: &OwnStatus) {
        self.state().now = status.clone();
    }

    /// Ends the collection.
    pub(super) fn end(&self, status: OwnStatus) -> Exposition {
        let mut state = self.state();
        state.started = None;
        let mut text = std::mem::take(&mut state.text);
        self.render(&status, &mut text);
        state.last_len = text.len();
        state.last = status;
        drop(state);
        Exposition::new(text)
    }

    /// What there is of the collection under way: the families that are complete, and 0 for the
    /// success of each collector that is not done. `None` where none is under way.
    pub fn partial(&self) -> Option<Exposition> {
        let state = self.state();
        let age = state.started?.elapsed();
        let is_fresh = age < MAX_AGE;
        let mut status = if is_fresh {
            state.now.clone()
        } else {
            OwnStatus::default()
        };
        let last = &state.last;
        for name in &state.expected {
            if status.collectors.iter().all(|row| row.name != *name) {
                let before = last.collectors.iter().find(|row| row.name == *name);
                status.collectors.push(CollectorStatus {
                    name,
                    success: false,
                    duration: age,
                    errors: before.map_or(0, |row| row.errors),
                });
            }
        }
        // Counters of what is not there yet stand where they stood.
        status.collections = last.collections;
        status.series_dropped = last.series_dropped;
        status.collection_duration = age;
        status.ebpf = status.ebpf.or(last.ebpf);
        status.tcp_looks = status.tcp_looks.or(last.tcp_looks);
        let mut text = if is_fresh {
            state.text.clone()
        } else {
            String::new()
        };
        let limit = state.limit.clone();
        let shown = state.shown;
        drop(state);
        if let Some((limit, ages)) = limit {
            let dropped = shown.shorten_part(&mut text, limit, &ages);
            status.series = status.series.saturating_sub(dropped);
        }
        self.render(&status, &mut text);
        Some(Exposition::new(text))
    }

    fn render(&self, status: &OwnStatus, text: &mut String) {
        if let Err(error) = self.own.render(status, text) {
            warn!(%error, "cannot write the exporter's own metrics");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
