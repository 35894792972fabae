//! One connection to a runtime: from the first call to the first failure.
//!
//! The list says what there is, the event stream what changes.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow};
use futures_util::StreamExt as _;
use tokio::time::MissedTickBehavior;
use tracing::debug;

use super::Endpoint;
use super::client::{Client, Engine, Event};
use super::look_up::look_up;
use crate::discovery::follow::Follower;
use crate::discovery::lookups::Lookups;
use crate::discovery::verify::has_process;

/// The state of a connection.
pub(super) struct Session<'a> {
    follower: &'a Follower<Endpoint>,
    client: Client,
    engine: Engine,
    lookups: Lookups<'a>,
}

impl<'a> Session<'a> {
    /// Connects, and follows the runtime until something fails; that is what it returns. `on_up`
    /// is called once the first list is complete.
    pub(super) async fn run(
        follower: &'a Follower<Endpoint>,
        on_up: impl FnOnce(&dyn Display),
    ) -> anyhow::Result<Infallible> {
        let (client, engine) = Client::connect(&follower.endpoint, follower.timing.call).await?;
        let mut session = Self {
            follower,
            client,
            engine,
            lookups: Lookups::default(),
        };
        session.follow(on_up).await
    }

    async fn follow(&mut self, on_up: impl FnOnce(&dyn Display)) -> anyhow::Result<Infallible> {
        // Before the list, so that what changes while it is taken comes as an event.
        let mut events = self.client.events(SystemTime::now());
        let mut resync = tokio::time::interval(self.follower.timing.resync);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut on_up = Some(on_up);
        loop {
            self.follower
                .up_with(&self.lookups, &self.engine, &mut on_up)?;
            self.start_inspections();
            tokio::select! {
                _ = resync.tick() => self.list().await?,
                event = events.next() => match event {
                    Some(event) => {
                        if let Some(event) = event? {
                            self.handle(event);
                        }
                    }
                    None => return Err(anyhow!("event stream ended")),
                },
                Some(outcome) = self.lookups.next() => {
                    let Follower { source, endpoint, .. } = self.follower;
                    self.lookups.settle(outcome, source, endpoint);
                }
            }
        }
    }

    /// Takes the full list, and has looked up what is new, was renamed or lost its process. What
    /// is not on the list is forgotten, but if its process lives the runtime is asked first:
    /// Podman does not list a container that it is stopping.
    async fn list(&mut self) -> anyhow::Result<()> {
        let list = self.client.list().await.context("resync")?;
        let source = &self.follower.source;
        let listed: HashSet<&str> = list.iter().map(|entry| entry.id.as_str()).collect();
        self.lookups.retain_failures(|id| listed.contains(id));
        let mut questions = Vec::new();
        for id in source.ids() {
            if listed.contains(id.as_str()) {
                continue;
            }
            if source.get(&id).is_some_and(|known| has_process(&known)) {
                questions.push(id);
            } else {
                source.remove(&id);
            }
        }
        let mut known = 0;
        for entry in list {
            let stands = source
                .get(&entry.id)
                .is_some_and(|known| known.name == entry.name && has_process(&known));
            if stands {
                known += 1;
            } else {
                questions.push(entry.id);
            }
        }
        debug!(
            "{}: {} containers to look up",
            self.follower.endpoint,
            questions.len()
        );
        self.lookups.take(questions, known);
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        let source = &self.follower.source;
        match Change::of(&event.action) {
            Change::LookUp => {
                source.count_event();
                self.lookups.enqueue(event.id);
            }
            Change::Remove => {
                source.count_event();
                source.remove(&event.id);
                self.lookups.forget(&event.id);
            }
            Change::None => {}
        }
    }

    fn start_inspections(&mut self) {
        let runtime = self.engine.runtime;
        let (client, procfs) = (&self.client, &self.follower.procfs);
        self.lookups.start(|id| {
            let (client, procfs) = (client.clone(), Arc::clone(procfs));
            async move {
                let outcome = look_up(&client, &procfs, runtime, &id).await;
                (id, outcome)
            }
        });
    }
}

/// What an event asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    LookUp,
    Remove,
    None,
}

impl Change {
    /// By Docker's names, and by Podman's where they differ (`died`, `remove`). Others, as
    /// `exec_start: …` or `health_status`, change nothing that matters here.
    fn of(action: &str) -> Self {
        match action {
            "start" | "rename" => Self::LookUp,
            "die" | "died" | "destroy" | "remove" => Self::Remove,
            _ => Self::None,
        }
    }
}
