//! What is pushed, beside being served.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use crate::config::{PushSettings, PushTo};
use crate::discovery::Inventory;
use crate::metrics::Exposition;
use crate::push::Protocol;
use crate::push::counts::Counts;
use crate::push::driver::Push;
use crate::push::falcon::Falcon;
use crate::push::otlp::Otlp;
use crate::serve::SingleFlight;

/// Pushes to be started.
#[derive(Debug)]
pub(super) struct Pushes {
    falcon: Option<Push<Falcon>>,
    otlp: Option<Push<Otlp>>,
}

impl Pushes {
    pub(super) fn new(settings: PushSettings) -> anyhow::Result<Self> {
        let counts = "cannot make the metrics of pushes";
        Ok(Self {
            falcon: with(settings.falcon, Counts::falcon).context(counts)?,
            otlp: with(settings.otlp, Counts::otlp).context(counts)?,
        })
    }

    /// The totals of those that are asked for.
    pub(super) fn counts(&self) -> impl Iterator<Item = Counts> {
        let falcon = self.falcon.as_ref().map(|push| push.counts.clone());
        let otlp = self.otlp.as_ref().map(|push| push.counts.clone());
        falcon.into_iter().chain(otlp)
    }

    /// Starts them; each ends by itself after `stopped`.
    pub(super) fn start(
        self,
        collections: &Arc<SingleFlight<Exposition>>,
        inventory: &Arc<Inventory>,
        stopped: &watch::Receiver<()>,
    ) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if let Some(push) = self.falcon {
            start(&mut tasks, push, collections, inventory, stopped);
        }
        if let Some(push) = self.otlp {
            start(&mut tasks, push, collections, inventory, stopped);
        }
        tasks
    }
}

fn with<P: Protocol>(
    settings: Option<PushTo<P>>,
    counts: impl FnOnce() -> prometheus::Result<Counts>,
) -> prometheus::Result<Option<Push<P>>> {
    let Some(settings) = settings else {
        return Ok(None);
    };
    Ok(Some(Push {
        protocol: settings.protocol,
        target: settings.target,
        interval: settings.interval,
        counts: counts()?,
    }))
}

fn start<P: Protocol>(
    tasks: &mut JoinSet<()>,
    push: Push<P>,
    collections: &Arc<SingleFlight<Exposition>>,
    inventory: &Arc<Inventory>,
    stopped: &watch::Receiver<()>,
) {
    info!(receiver = P::NAME, target = %push.target, "pushing");
    let (collections, inventory) = (Arc::clone(collections), Arc::clone(inventory));
    let mut stopped = stopped.clone();
    tasks.spawn(async move {
        // What is not found yet would look as if it were gone.
        tokio::select! {
            _ = stopped.changed() => return,
            () = inventory.settled() => {}
        }
        push.run(collections, stopped).await;
    });
}
