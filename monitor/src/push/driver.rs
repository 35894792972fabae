//! When is sent, what is kept while a receiver is away, and for how long it is left alone.

mod log;
mod queue;

use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use self::log::{Log, Trouble};
use self::queue::{Numbered, Queue};
use super::client::Client;
use super::counts::Counts;
use super::{Answer, Encoded, Protocol, Target, Verdict};
use crate::metrics::Exposition;
use crate::serve::SingleFlight;

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
            log: Log::new(P::NAME, self.target.to_string()),
            client: Arc::new(Client::new(self.target)),
            counts: self.counts,
            queue: Queue::default(),
            sending: None,
            failures: 0,
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
        // What is under way is not sent twice, and nothing to who does not take it.
        if request.is_some() && sender.answered(done(&mut request).await).is_some() {
            return;
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

struct Sender<P> {
    protocol: Arc<P>,
    log: Log,
    client: Arc<Client>,
    counts: Counts,
    queue: Queue,
    /// What is being sent.
    sending: Option<Numbered>,
    /// Failures since the last success.
    failures: u32,
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
                let reason = "a collection could not be encoded, which is a bug";
                return self.log.trouble(Trouble::Encoding, reason);
            }
        };
        self.counts.dropped.inc_by(encoded.dropped);
        let given_up = self.queue.push(encoded.batches);
        self.overflow(given_up);
    }

    /// Counts samples that had to go for others.
    fn overflow(&mut self, given_up: u64) {
        self.counts.dropped.inc_by(given_up);
        if given_up > 0 {
            self.log.overflow(given_up);
        }
    }

    /// Begins to send the oldest batch.
    fn send(&mut self) -> Option<Step<anyhow::Result<Answer>>> {
        let (number, batch) = self.queue.pop()?;
        let body = batch.body.clone();
        self.sending = Some((number, batch));
        let (protocol, client) = (Arc::clone(&self.protocol), Arc::clone(&self.client));
        Some(Box::pin(async move {
            let answer = timeout(TIMEOUT, client.post(protocol.headers(), body)).await;
            answer.unwrap_or_else(|_| bail!("no answer within {} s", TIMEOUT.as_secs()))
        }))
    }

    /// Goes by the answer to what was sent; gives the pause that is due after a failure.
    fn answered(&mut self, answer: anyhow::Result<Answer>) -> Option<Duration> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let trouble = Trouble::no_answer(&error);
                return Some(self.later(None, trouble, &format!("{error:#}")));
            }
        };
        let text = String::from_utf8_lossy(&answer.body);
        let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
        let status = answer.status.as_u16();
        let said = format!("{status} {text}");
        let number = self.sending.as_ref().map_or(0, |(number, _)| *number);
        match self.protocol.verdict(&answer) {
            Verdict::Later(after) => {
                return Some(self.later(after, Trouble::Status(status), &said));
            }
            Verdict::Refused => {
                self.counts.errors.inc();
                self.give_up(u64::MAX);
                let reason = format!("refused: {said}");
                self.log.lost(number, Trouble::Status(status), &reason);
            }
            Verdict::Taken { rejected, reason } => {
                self.give_up(rejected);
                if rejected > 0 {
                    let reason = format!("samples are not taken: {reason}");
                    self.log.lost(number, Trouble::Rejected, &reason);
                } else {
                    self.log.taken(number, !self.queue.has_of(number));
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
        if self.queue.is_empty() {
            self.log.empty();
        }
    }

    fn later(&mut self, after: Option<Duration>, trouble: Trouble, reason: &str) -> Duration {
        self.counts.errors.inc();
        self.log.trouble(trouble, reason);
        if let Some(batch) = self.sending.take() {
            let given_up = self.queue.push_back(batch);
            self.overflow(given_up);
        }
        let pause = back_off(self.failures, RandomState::new().hash_one(0));
        self.failures = self.failures.saturating_add(1);
        after.map_or(pause, |after| after.clamp(pause, MAX_RETRY_AFTER))
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
