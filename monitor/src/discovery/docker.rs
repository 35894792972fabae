//! Containers of Docker, and of Podman through its compatible socket.
//!
//! [`run`] follows one endpoint for as long as the daemon lives: it connects, takes the full list,
//! follows the event stream and takes the list again every minute. When the runtime does not
//! answer, what is known of it stays, and it is asked again with growing pauses. Everything that a
//! runtime says of a process is checked against `/proc` before it is believed.

mod client;
mod describe;
mod endpoint;
mod look_up;
mod session;
mod time;

use std::fmt::Display;
use std::sync::Arc;

pub use endpoint::{Endpoint, EndpointError, parse_endpoint};

use self::session::Session;
use super::follow::{self, Demand, Ended, Follower, Timing};
use crate::discovery::Source;
use crate::procfs::ProcFs;

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
    follower.until(shutdown).await;
}

impl follow::Endpoint for Endpoint {
    fn exists(&self) -> bool {
        match self {
            Self::Unix(path) => path.exists(),
            Self::Http(_) => true,
        }
    }

    async fn session(follower: &Follower<Self>, on_up: impl FnOnce(&dyn Display) + Send) -> Ended {
        match Session::run(follower, on_up).await {
            Ok(never) => match never {},
            Err(error) => Ended::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests;
