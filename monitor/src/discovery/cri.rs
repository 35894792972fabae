//! Pods and containers of a runtime that the kubelet speaks to over the CRI: containerd, CRI-O.
//!
//! [`run`] follows one socket for as long as the daemon lives: it connects, takes the lists of
//! sandboxes and containers, and takes them again whenever containerd tells of a change, for other
//! runtimes every two seconds. When the runtime does not answer, what is known of it stays.
//! Everything that it says of a process is checked against `/proc` before it is believed.

mod client;
mod describe;
mod endpoint;
mod look_up;
mod messages;
mod pace;
mod session;

use std::fmt::Display;
use std::os::unix::fs::FileTypeExt as _;
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
    /// A socket that is not there is no failure where it is only looked for; anything else in its
    /// place is.
    fn exists(&self) -> bool {
        std::path::Path::new(self.path()).exists()
    }

    async fn session(follower: &Follower<Self>, on_up: impl FnOnce(&dyn Display) + Send) -> Ended {
        let path = follower.endpoint.path();
        if std::fs::metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
            return anyhow::anyhow!("{path} is no socket").into();
        }
        match Session::run(follower, on_up).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }
}

#[cfg(test)]
mod tests;
