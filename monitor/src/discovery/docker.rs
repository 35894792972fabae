//! Containers of Docker, and of Podman through its compatible socket.
//!
//! [`run`] follows one endpoint for as long as the daemon lives: it connects, takes the full list,
//! follows the event stream and takes the list again every minute. When the runtime does not
//! answer, what is known of it stays, and it is asked again with growing pauses. Everything that a
//! runtime says of a process is checked against `/proc` before it is believed.

mod client;
mod describe;
mod endpoint;
mod session;
mod time;
mod verify;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

pub use endpoint::{Endpoint, EndpointError, parse_endpoint};

use self::session::Session;
use crate::discovery::{Source, SourceState};
use crate::procfs::ProcFs;

/// Whether somebody asked for this runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It was named: that it is not there is [`SourceState::Down`].
    Required,
    /// It is looked for because it may be there: as long as its socket does not exist it is
    /// [`SourceState::Absent`].
    IfPresent,
}

/// How long things may take and how often they happen.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Time limit of each call of the API.
    pub call: Duration,
    /// Between two full lists.
    pub resync: Duration,
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
            first_retry: Duration::from_millis(500),
            last_retry: Duration::from_secs(30),
            presence: Duration::from_secs(3),
        }
    }
}

/// Follows the runtime at `endpoint` and keeps `source` up to date until `shutdown` is done.
/// Nothing goes on after that: the future may also just be dropped.
pub async fn run(
    endpoint: Endpoint,
    demand: Demand,
    procfs: Arc<ProcFs>,
    source: Source,
    shutdown: impl Future<Output = ()>,
) {
    run_with(
        endpoint,
        demand,
        Timing::default(),
        procfs,
        source,
        shutdown,
    )
    .await;
}

/// [`run`] with time limits of the caller's choice.
pub async fn run_with(
    endpoint: Endpoint,
    demand: Demand,
    timing: Timing,
    procfs: Arc<ProcFs>,
    source: Source,
    shutdown: impl Future<Output = ()>,
) {
    let follower = Follower {
        endpoint,
        demand,
        timing,
        procfs,
        source,
    };
    let mut following = pin!(follower.follow());
    let mut shutdown = pin!(shutdown);
    tokio::select! {
        () = &mut following => {}
        () = &mut shutdown => {}
    }
}

/// One endpoint and where its containers go.
struct Follower {
    endpoint: Endpoint,
    demand: Demand,
    timing: Timing,
    procfs: Arc<ProcFs>,
    source: Source,
}

impl Follower {
    /// One session after the other, for ever.
    async fn follow(&self) {
        let mut pauses = Pauses::new(self.timing);
        let mut was_up = false;
        let mut reported_down = false;
        loop {
            if self.demand == Demand::IfPresent && !was_up && !self.endpoint.exists() {
                self.source.set_state(SourceState::Absent);
                tokio::time::sleep(self.timing.presence).await;
                continue;
            }
            let mut up_since = None;
            let error = Session::run(self, |engine| {
                info!("{engine} at {} answers", self.endpoint);
                up_since = Some(Instant::now());
            })
            .await;
            if up_since.is_some() {
                was_up = true;
                reported_down = false;
            }
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
mod tests;
