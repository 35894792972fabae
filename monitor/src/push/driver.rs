//! When is sent, what is kept while a receiver is away, and for how long it is left alone.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::client::Client;
use super::counts::Counts;
use super::{Answer, Batch, Encoded, Protocol, Target, Verdict};
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
            client: Arc::new(Client::new(self.target)),
            counts: self.counts,
            queue: Queue::default(),
            sending: None,
            failures: 0,
            said: String::new(),
            overflows: false,
        };
        // One of each goes on while the other does: neither a slow receiver nor a slow collection
        // costs more than its own time.
        let (mut request, mut collection) = (None, None);
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                _ = stopped.changed() => break,
                answer = done(&mut request) => {
                    next = Instant::now() + sender.answered(answer).unwrap_or_default();
                }
                () = sleep_until(next), if request.is_none() && !sender.queue.is_empty() => {
                    request = sender.send();
                }
                made = done(&mut collection) => sender.collected(made),
                _ = ticks.tick(), if collection.is_none() => {
                    collection = Some(sender.collect(&collections));
                }
            }
        }
        // What is under way is not sent twice.
        if request.is_some() {
            sender.answered(done(&mut request).await);
        }
        while let Some(request) = sender.send() {
            if sender.answered(request.await).is_some() {
                break;
            }
        }
    }
}

/// What is under way.
type Step<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a step gives, which is none any more then; without one there is nothing to wait for.
async fn done<T>(step: &mut Option<Step<T>>) -> T {
    match step {
        Some(under_way) => {
            let result = under_way.await;
            *step = None;
            result
        }
        None => std::future::pending().await,
    }
}

/// A batch with the number of its collection.
type Numbered = (u64, Batch);

/// What waits, the oldest first.
#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Numbered>,
    collections: u64,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Adds a collection; gives the samples of what had to go for it.
    fn push(&mut self, batches: Vec<Batch>) -> u64 {
        self.collections += 1;
        let number = self.collections;
        let batches = batches.into_iter().map(|batch| (number, batch));
        self.batches.extend(batches);
        self.fit()
    }

    /// Takes the oldest batch back, which was not sent; gives the samples of what had to go.
    fn push_back(&mut self, batch: Numbered) -> u64 {
        self.batches.push_front(batch);
        self.fit()
    }

    /// Keeps the bound. No batch goes for one of its own collection: a receiver that takes
    /// everything gets all of it, however much it is.
    fn fit(&mut self) -> u64 {
        let newest = self.batches.back().map(|(number, _)| *number);
        let bodies = self.batches.iter().map(|(_, batch)| batch.body.len());
        let mut waiting: usize = bodies.sum();
        let mut given_up = 0;
        while waiting > MAX_WAITING
            && self.batches.front().map(|(number, _)| *number) != newest
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
    client: Arc<Client>,
    counts: Counts,
    queue: Queue,
    /// What is being sent.
    sending: Option<Numbered>,
    /// Failures since the last success.
    failures: u32,
    /// What stands in the log of the trouble that lasts.
    said: String,
    /// It stands in the log that samples are given up, and the queue was not empty since.
    overflows: bool,
}

impl<P: Protocol> Sender<P> {
    /// Makes a collection and writes it down; nothing where it failed, which has been said.
    fn collect(
        &self,
        collections: &Arc<SingleFlight<Exposition>>,
    ) -> Step<Option<Result<Encoded, JoinError>>> {
        let (protocol, collections) = (Arc::clone(&self.protocol), Arc::clone(collections));
        Box::pin(async move {
            let exposition = collections.get().await?;
            // Thousands of samples take milliseconds, which the one thread that waits does not
            // have.
            let encode = move || protocol.encode(&exposition, SystemTime::now());
            Some(spawn_blocking(encode).await)
        })
    }

    fn collected(&mut self, made: Option<Result<Encoded, JoinError>>) {
        let encoded = match made {
            None => return,
            Some(Ok(encoded)) => encoded,
            Some(Err(_)) => {
                return self.trouble("a collection could not be encoded, which is a bug");
            }
        };
        self.counts.dropped.inc_by(encoded.dropped);
        let given_up = self.queue.push(encoded.batches);
        self.overflow(given_up);
    }

    /// Counts samples that had to go for others.
    fn overflow(&mut self, given_up: u64) {
        self.counts.dropped.inc_by(given_up);
        if given_up > 0 && !std::mem::replace(&mut self.overflows, true) {
            warn!(
                receiver = P::NAME,
                samples = given_up,
                "more waits to be pushed than is kept, the oldest samples are given up"
            );
        }
    }

    /// Begins to send the oldest batch.
    fn send(&mut self) -> Option<Step<Result<Answer, String>>> {
        let (number, batch) = self.queue.batches.pop_front()?;
        let body = batch.body.clone();
        self.sending = Some((number, batch));
        let (protocol, client) = (Arc::clone(&self.protocol), Arc::clone(&self.client));
        Some(Box::pin(async move {
            match timeout(TIMEOUT, client.post(protocol.headers(), body)).await {
                Ok(answer) => answer.map_err(|error| format!("{error:#}")),
                Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
            }
        }))
    }

    /// Goes by the answer to what was sent; gives the pause that is due after a failure.
    fn answered(&mut self, answer: Result<Answer, String>) -> Option<Duration> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(reason) => return Some(self.later(None, &reason)),
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

    /// Counts what was sent, of which so many samples were not taken, and lets go of it.
    fn give_up(&mut self, rejected: u64) {
        if let Some((_, batch)) = self.sending.take() {
            let rejected = rejected.min(batch.samples);
            self.counts.dropped.inc_by(rejected);
            self.counts.sent.inc_by(batch.samples - rejected);
        }
        self.overflows &= !self.queue.is_empty();
    }

    fn later(&mut self, after: Option<Duration>, reason: &str) -> Duration {
        self.counts.errors.inc();
        self.trouble(reason);
        if let Some(batch) = self.sending.take() {
            let given_up = self.queue.push_back(batch);
            self.overflow(given_up);
        }
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
