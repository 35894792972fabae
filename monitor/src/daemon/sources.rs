//! The tasks that follow the runtimes.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::{info, warn};

use super::until;
use crate::config::Config;
use crate::discovery::Inventory;
use crate::discovery::follow::{Demand, Endpoint, Follower, Timing};
use crate::procfs::ProcFs;

/// The value of the `runtime` label of all sources over the CRI: who answers is known later.
const CRI: &str = "cri";

/// The value of the `runtime` label of containerds that are asked for their plain containers.
const CONTAINERD: &str = "containerd";

/// Starts following every runtime of the configuration, until the daemon stops. Of sources that
/// know the same container the first counts: Docker knows those of cri-dockerd better, and
/// containerd itself knows least of those that another source has.
pub(super) fn start(
    config: &Config,
    inventory: &Arc<Inventory>,
    procfs: &Arc<ProcFs>,
    stopped: &watch::Receiver<()>,
) {
    let start = Start {
        config,
        inventory,
        procfs,
        stopped,
    };
    for source in &config.docker {
        start.following(source.endpoint.clone(), source.demand, source.runtime);
    }
    for source in &config.cri {
        start.following(source.endpoint.clone(), source.demand, CRI);
    }
    for source in &config.containerd {
        start.following(source.endpoint.clone(), source.demand, CONTAINERD);
    }
}

/// What all sources are started with.
struct Start<'a> {
    config: &'a Config,
    inventory: &'a Arc<Inventory>,
    procfs: &'a Arc<ProcFs>,
    stopped: &'a watch::Receiver<()>,
}

impl Start<'_> {
    fn following<E>(&self, endpoint: E, demand: Demand, runtime: &'static str)
    where
        E: Endpoint + Send + 'static,
    {
        let follower = Follower {
            endpoint,
            demand,
            timing: Timing::default(),
            procfs: Arc::clone(self.procfs),
            source: self.inventory.add_source(runtime),
            pod_labels: Arc::clone(&self.config.pod_labels),
        };
        tokio::spawn(follower.until(until(self.stopped.clone())));
    }
}

/// Says that the first discovery has ended, and what was asked for and is not there.
pub(super) async fn say_when_ready(inventory: Arc<Inventory>) {
    inventory.settled().await;
    if inventory.is_missing(CRI) {
        warn!(
            "no runtime serves the CRI at any of the usual sockets (--cri.endpoint names another); \
             they are looked for on"
        );
    }
    if inventory.is_missing(CONTAINERD) {
        warn!(
            "no containerd at any of the usual sockets (--containerd.endpoint names another); they \
             are looked for on"
        );
    }
    info!("ready: the first discovery has ended");
}
