//! Following a runtime for as long as the daemon lives: session after session, with growing pauses
//! where it does not answer. What a session is, its runtime's module knows.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::lookups::Lookups;
use super::{Source, SourceState};
use crate::pod_labels::PodLabels;
use crate::procfs::ProcFs;

/// Whether somebody asked for this runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It was named: that it is not there is [`SourceState::Down`].
    Required,
    /// One of several that were asked for by one name: that it is not there is
    /// [`SourceState::Missing`].
    AnyOf,
    /// It is looked for because it may be there: as long as its socket does not exist, or serves
    /// something else, it is [`SourceState::Absent`].
    IfPresent,
}

impl Demand {
    /// What it is called that the runtime is not there; `None` where that is a failure.
    fn absence(self) -> Option<SourceState> {
        match self {
            Self::Required => None,
            Self::AnyOf => Some(SourceState::Missing),
            Self::IfPresent => Some(SourceState::Absent),
        }
    }
}

/// How long things may take and how often they happen.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Time limit of each call of the API.
    pub call: Duration,
    /// Between two full lists.
    pub resync: Duration,
    /// Between two lists of a runtime whose events are not followed.
    pub poll: Duration,
    /// Pause before the first new attempt; it doubles with each that fails.
    pub first_retry: Duration,
    /// The longest pause between attempts; a session that lasted as long starts afresh.
    pub last_retry: Duration,
    /// Between two looks for a socket that does not exist.
    pub presence: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(10),
            resync: Duration::from_secs(60),
            poll: Duration::from_secs(2),
            first_retry: Duration::from_millis(500),
            last_retry: Duration::from_secs(30),
            presence: Duration::from_secs(3),
        }
    }
}

/// Why a session ended.
#[derive(Debug)]
pub enum Ended {
    /// Something failed.
    Failed(anyhow::Error),
    /// Somebody answers, but it is not this runtime's API.
    NotServed(anyhow::Error),
}

impl From<anyhow::Error> for Ended {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Where a runtime's API is, and how to speak to it.
pub trait Endpoint: fmt::Display + Sized + Sync {
    /// Whether something is there to be asked. It is not opened, so that a socket which starts its
    /// service on demand does not.
    fn exists(&self) -> bool;

    /// One connection, from the first call to the first failure. `on_up` is told who answers, once
    /// the first list is complete.
    fn session(
        follower: &Follower<Self>,
        on_up: impl FnOnce(&dyn fmt::Display) + Send,
    ) -> impl Future<Output = Ended> + Send;
}

/// One endpoint and where its containers go.
#[derive(Debug)]
pub struct Follower<E> {
    /// Where the runtime is.
    pub endpoint: E,
    /// Whether it was asked for.
    pub demand: Demand,
    /// Time limits and pauses.
    pub timing: Timing,
    /// Where processes are looked up.
    pub procfs: Arc<ProcFs>,
    /// Where its containers go.
    pub source: Source,
    /// What is kept of the labels of pods.
    pub pod_labels: Arc<PodLabels>,
}

impl<E> Follower<E> {
    /// Says that the runtime is up once its first list is complete, and then tells `on_up`, which is
    /// gone afterwards, who answers.
    ///
    /// # Errors
    /// It has containers and describes none of them.
    pub(super) fn up_with<F: FnOnce(&dyn fmt::Display)>(
        &self,
        lookups: &Lookups<'_>,
        engine: &dyn fmt::Display,
        on_up: &mut Option<F>,
    ) -> anyhow::Result<()> {
        if on_up.is_some() && lookups.first_is_done()? {
            self.source.set_state(SourceState::Up);
            if let Some(on_up) = on_up.take() {
                on_up(engine);
            }
        }
        Ok(())
    }
}

impl<E: Endpoint> Follower<E> {
    /// Follows the runtime and keeps the source up to date until `shutdown` is done. Nothing goes
    /// on after that: the future may also just be dropped.
    pub async fn until(self, shutdown: impl Future<Output = ()>) {
        let mut following = pin!(self.follow());
        let mut shutdown = pin!(shutdown);
        tokio::select! {
            () = &mut following => {}
            () = &mut shutdown => {}
        }
    }

    /// One session after the other, for ever.
    async fn follow(&self) {
        let mut pauses = Pauses::new(self.timing);
        let mut was_up = false;
        let mut reported_down = false;
        let mut reported_foreign = false;
        loop {
            let absence = self.demand.absence().filter(|_| !was_up);
            if let Some(state) = absence
                && !self.endpoint.exists()
            {
                self.source.set_state(state);
                tokio::time::sleep(self.timing.presence).await;
                continue;
            }
            let mut up_since = None;
            let ended = E::session(self, |engine| {
                info!("{engine} at {} answers", self.endpoint);
                up_since = Some(Instant::now());
            })
            .await;
            if up_since.is_some() {
                was_up = true;
                reported_down = false;
            }
            let error = match (ended, absence) {
                (Ended::NotServed(error), Some(state)) => {
                    self.source.set_state(state);
                    if !std::mem::replace(&mut reported_foreign, true) {
                        info!("{} is not used: {error:#}", self.endpoint);
                    }
                    tokio::time::sleep(self.timing.last_retry).await;
                    continue;
                }
                (Ended::NotServed(error) | Ended::Failed(error), _) => error,
            };
            self.source.set_state(SourceState::Down);
            let pause = pauses.next(up_since.map(|since| since.elapsed()));
            if reported_down {
                debug!("{} is still down: {error:#}", self.endpoint);
            } else {
                warn!(
                    "{} is down, what is known of its containers stays: {error:#}",
                    self.endpoint
                );
                reported_down = true;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// The pauses between attempts.
struct Pauses {
    timing: Timing,
    next: Duration,
}

impl Pauses {
    fn new(timing: Timing) -> Self {
        Self {
            timing,
            next: timing.first_retry,
        }
    }

    /// The pause after an attempt, given how long it was up, if it was. Only a session that lasted
    /// makes the next pause short again: a runtime that answers and breaks at once must not be
    /// asked for its full list twice a second.
    fn next(&mut self, up: Option<Duration>) -> Duration {
        if up.is_some_and(|up| up >= self.timing.last_retry) {
            self.next = self.timing.first_retry;
        }
        let pause = self.next;
        self.next = (pause * 2).min(self.timing.last_retry);
        pause
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pauses, Timing};

    #[test]
    fn pauses_double_up_to_the_last_and_start_afresh_after_a_session_that_lasted() {
        let second = Duration::from_secs(1);
        let mut pauses = Pauses::new(Timing::default());
        let first: Vec<u128> = (0..8).map(|_| pauses.next(None).as_millis()).collect();
        assert_eq!(first, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(pauses.next(Some(second * 29)), second * 30);
        assert_eq!(pauses.next(Some(second * 30)), second / 2);
        assert_eq!(pauses.next(Some(second)), second);
    }
}
