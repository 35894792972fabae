//! The tasks that follow the runtimes.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::{info, warn};

use super::until;
use crate::config::Config;
use crate::discovery::{Inventory, cri, docker};
use crate::procfs::ProcFs;

/// The value of the `runtime` label of all sources over the CRI: who answers is known later.
const CRI: &str = "cri";

/// Starts following every runtime of the configuration, until the daemon stops.
pub(super) fn start(
    config: &Config,
    inventory: &Arc<Inventory>,
    procfs: &Arc<ProcFs>,
    stopped: &watch::Receiver<()>,
) {
    for source in &config.docker {
        tokio::spawn(docker::run(
            source.endpoint.clone(),
            source.demand,
            Arc::clone(procfs),
            inventory.add_source(source.runtime),
            until(stopped.clone()),
        ));
    }
    // Behind Docker, which knows the containers of cri-dockerd better.
    for source in &config.cri {
        tokio::spawn(cri::run(
            source.endpoint.clone(),
            source.demand,
            Arc::clone(procfs),
            inventory.add_source(CRI),
            until(stopped.clone()),
        ));
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
    info!("ready: the first discovery has ended");
}
