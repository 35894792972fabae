//! When is sent, what is kept while a receiver is away, and for how long it is left alone.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::client::Client;
use super::counts::Counts;
use super::{Batch, Protocol, Target, Verdict};
use crate::metrics::Exposition;
use crate::serve::SingleFlight;

/// Bodies that wait, in bytes, at most, but for a collection that has more by itself; then the
/// oldest are given up.
const MAX_WAITING: usize = 8 << 20;

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The first pause after a failure, and the longest of the pauses, each twice the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The longest pause that a receiver may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// A push: what is sent where, and how often.
#[derive(Debug)]
pub struct Push<P> {
    /// How it is written.
    pub protocol: P,
    /// Where it goes.
    pub target: Target,
    /// Time from one collection to the next.
    pub interval: Duration,
    /// What became of it.
    pub counts: Counts,
}

impl<P: Protocol> Push<P> {
    /// Pushes until `stopped` says so, then sends what waits, as long as it is taken.
    pub async fn run(
        self,
        collections: Arc<SingleFlight<Exposition>>,
        mut stopped: watch::Receiver<()>,
    ) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut sender = Sender {
            protocol: Arc::new(self.protocol),
            client: Client::new(self.target),
            counts: self.counts,
            queue: Queue::default(),
            failures: 0,
            said: String::new(),
            overflows: false,
        };
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                _ = stopped.changed() => break,
                _ = ticks.tick() => sender.collect(&collections).await,
                () = sleep_until(next), if !sender.queue.batches.is_empty() => {
                    next = Instant::now() + sender.send().await.unwrap_or_default();
                }
            }
        }
        while sender.send().await.is_none() && !sender.queue.batches.is_empty() {}
    }
}

/// What waits, the oldest first: batches, each with the number of its collection.
#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<(u64, Batch)>,
    collections: u64,
}

impl Queue {
    /// Adds a collection; gives the samples of what had to go for it. That is never a part of
    /// itself: a receiver that takes everything gets all of it, however much it is.
    fn push(&mut self, batches: Vec<Batch>) -> u64 {
        self.collections += 1;
        let number = self.collections;
        self.batches
            .extend(batches.into_iter().map(|batch| (number, batch)));
        let bodies = self.batches.iter().map(|(_, batch)| batch.body.len());
        let mut waiting: usize = bodies.sum();
        let mut given_up = 0;
        while waiting > MAX_WAITING
            && self.batches.front().is_some_and(|(of, _)| *of != number)
            && let Some((_, oldest)) = self.batches.pop_front()
        {
            waiting -= oldest.body.len();
            given_up += oldest.samples;
        }
        given_up
    }
}

struct Sender<P> {
    protocol: Arc<P>,
    client: Client,
    counts: Counts,
    queue: Queue,
    /// Failures since the last success.
    failures: u32,
    /// What stands in the log of the trouble that lasts.
    said: String,
    /// It stands in the log that samples are given up, and the queue was not empty since.
    overflows: bool,
}

impl<P: Protocol> Sender<P> {
    async fn collect(&mut self, collections: &SingleFlight<Exposition>) {
        let Some(exposition) = collections.get().await else {
            return;
        };
        let protocol = Arc::clone(&self.protocol);
        // Thousands of samples take milliseconds, which the one thread that waits does not have.
        let encoded = spawn_blocking(move || protocol.encode(&exposition, SystemTime::now())).await;
        let Ok(encoded) = encoded else {
            return self.trouble("a collection could not be encoded, which is a bug");
        };
        let given_up = self.queue.push(encoded.batches);
        self.counts.dropped.inc_by(encoded.dropped + given_up);
        if given_up > 0 && !std::mem::replace(&mut self.overflows, true) {
            warn!(
                receiver = P::NAME,
                samples = given_up,
                "more waits to be pushed than is kept, the oldest samples are given up"
            );
        }
    }

    /// Sends the oldest batch; gives the pause that is due after a failure.
    async fn send(&mut self) -> Option<Duration> {
        let batch = self.queue.batches.front()?.1.clone();
        let request = self.client.post(self.protocol.headers(), batch.body);
        let answer = match timeout(TIMEOUT, request).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Some(self.later(None, &format!("{error:#}"))),
            Err(_) => {
                let reason = format!("no answer within {} s", TIMEOUT.as_secs());
                return Some(self.later(None, &reason));
            }
        };
        let text = String::from_utf8_lossy(&answer.body);
        let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
        let said = format!("{} {text}", answer.status.as_u16());
        match self.protocol.verdict(&answer) {
            Verdict::Later(after) => return Some(self.later(after, &said)),
            Verdict::Refused => {
                self.counts.errors.inc();
                self.give_up(u64::MAX);
                self.trouble(&format!("refused: {said}"));
            }
            Verdict::Taken { rejected, reason } => {
                self.give_up(rejected);
                if rejected > 0 {
                    self.trouble(&format!("samples are not taken: {reason}"));
                } else {
                    self.well();
                }
            }
        }
        self.failures = 0;
        None
    }

    /// Counts the oldest batch, of which so many samples were not taken, and lets go of it.
    fn give_up(&mut self, rejected: u64) {
        if let Some((_, batch)) = self.queue.batches.pop_front() {
            let rejected = rejected.min(batch.samples);
            self.counts.dropped.inc_by(rejected);
            self.counts.sent.inc_by(batch.samples - rejected);
        }
        self.overflows &= !self.queue.batches.is_empty();
    }

    fn later(&mut self, after: Option<Duration>, reason: &str) -> Duration {
        self.counts.errors.inc();
        self.trouble(reason);
        let pause = back_off(self.failures, RandomState::new().hash_one(0));
        self.failures = self.failures.saturating_add(1);
        after.map_or(pause, |after| after.clamp(pause, MAX_RETRY_AFTER))
    }

    /// Says once what is wrong, as long as it is the same.
    fn trouble(&mut self, reason: &str) {
        if self.said == reason {
            debug!(receiver = P::NAME, reason, "push failed again");
            return;
        }
        reason.clone_into(&mut self.said);
        warn!(receiver = P::NAME, reason, "push failed");
    }

    fn well(&mut self) {
        if !std::mem::take(&mut self.said).is_empty() {
            info!(receiver = P::NAME, "push is taken again");
        }
    }
}

/// The pause after so many failures before: between half of the full pause and all of it, so that
/// a fleet that lost its receiver does not come back at once.
fn back_off(failures: u32, random: u64) -> Duration {
    let (first, longest) = BACK_OFF;
    let full = first.saturating_mul(1 << failures.min(16)).min(longest);
    full / 2 + full.mul_f64((random >> 32) as f64 / (1_u64 << 32) as f64 / 2.0)
}

#[cfg(test)]
mod tests;
