//! One connection to a runtime: from the first call to the first failure.
//!
//! The list says what there is, the event stream what changes. Containers that are to be looked up
//! wait in a queue that four inspections at a time work off while events go on being read; what
//! arrives twice is looked up once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow, bail};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};

use super::Follower;
use super::client::{Client, Engine, Event};
use super::verify::look_up;
use crate::container::Container;
use crate::discovery::SourceState;
use crate::procfs::process::is_gone;

/// Inspections at a time.
const CONCURRENCY: usize = 4;

/// What became of an inspection.
type Outcome = (String, anyhow::Result<Option<Container>>);

/// The state of a connection.
pub(super) struct Session<'a> {
    follower: &'a Follower,
    client: Client,
    engine: Engine,
    /// Ids to look up, in order, each once.
    waiting: VecDeque<String>,
    /// Ids that are being looked up; true when an event came meanwhile, so that the answer may be
    /// out of date.
    running: HashMap<String, bool>,
    inspections: FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>>,
    /// Ids of the first list that were not looked up yet; none before there is a list.
    first: Option<HashSet<String>>,
    /// Inspections so far, by outcome: when all of the first list failed the runtime does not
    /// work.
    succeeded: usize,
    failed: usize,
    /// Ids whose inspection failed and was reported.
    reported: HashSet<String>,
    up: bool,
}

impl<'a> Session<'a> {
    /// Connects, and follows the runtime until something fails; that is what it returns. `on_up`
    /// is called once the first list is complete.
    pub(super) async fn run(follower: &'a Follower, on_up: impl FnOnce(&Engine)) -> anyhow::Error {
        match Self::connect(follower).await {
            Ok(mut session) => match session.follow(on_up).await {
                Ok(never) => match never {},
                Err(error) => error,
            },
            Err(error) => error,
        }
    }

    async fn connect(follower: &'a Follower) -> anyhow::Result<Self> {
        let (client, engine) = Client::connect(&follower.endpoint, follower.timing.call).await?;
        Ok(Self {
            follower,
            client,
            engine,
            waiting: VecDeque::new(),
            running: HashMap::new(),
            inspections: FuturesUnordered::new(),
            first: None,
            succeeded: 0,
            failed: 0,
            reported: HashSet::new(),
            up: false,
        })
    }

    async fn follow(
        &mut self,
        on_up: impl FnOnce(&Engine),
    ) -> anyhow::Result<std::convert::Infallible> {
        // Before the list, so that what changes while it is taken comes as an event.
        let mut events = self.client.events(SystemTime::now());
        let mut resync = tokio::time::interval(self.follower.timing.resync);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut on_up = Some(on_up);
        loop {
            if !self.up && self.first.as_ref().is_some_and(HashSet::is_empty) {
                if self.succeeded == 0 && self.failed > 0 {
                    bail!("it has containers and describes none of them");
                }
                self.up = true;
                self.follower.source.set_state(SourceState::Up);
                if let Some(on_up) = on_up.take() {
                    on_up(&self.engine);
                }
            }
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
                Some((id, outcome)) = self.inspections.next() => self.settle(id, outcome),
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
        self.reported.retain(|id| listed.contains(id.as_str()));
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
        for entry in list {
            let stands = source
                .get(&entry.id)
                .is_some_and(|known| known.name == entry.name && has_process(&known));
            if stands {
                // The runtime has described it before, and need not again to be believed.
                self.succeeded += 1;
            } else {
                questions.push(entry.id);
            }
        }
        debug!(
            "{}: {} containers to look up",
            self.follower.endpoint,
            questions.len()
        );
        if self.first.is_none() {
            self.first = Some(questions.iter().cloned().collect());
        }
        for id in questions {
            // One that is being looked up is not started over: where it hangs, it would be for
            // ever.
            if !self.running.contains_key(&id) {
                self.enqueue(id);
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        let source = &self.follower.source;
        match Change::of(&event.action) {
            Change::LookUp => {
                source.count_event();
                self.enqueue(event.id);
            }
            Change::Remove => {
                source.count_event();
                source.remove(&event.id);
                self.waiting.retain(|id| *id != event.id);
                if let Some(first) = &mut self.first {
                    first.remove(&event.id);
                }
                if let Some(outdated) = self.running.get_mut(&event.id) {
                    *outdated = true;
                }
            }
            Change::None => {}
        }
    }

    fn enqueue(&mut self, id: String) {
        if let Some(outdated) = self.running.get_mut(&id) {
            *outdated = true;
        } else if !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
    }

    fn start_inspections(&mut self) {
        while self.running.len() < CONCURRENCY {
            let Some(id) = self.waiting.pop_front() else {
                return;
            };
            self.running.insert(id.clone(), false);
            let client = self.client.clone();
            let procfs = Arc::clone(&self.follower.procfs);
            let runtime = self.engine.runtime;
            self.inspections.push(Box::pin(async move {
                let outcome = look_up(&client, &procfs, runtime, &id).await;
                (id, outcome)
            }));
        }
    }

    fn settle(&mut self, id: String, outcome: anyhow::Result<Option<Container>>) {
        let source = &self.follower.source;
        if self.running.remove(&id) == Some(true) {
            self.waiting.push_back(id);
            return;
        }
        if let Some(first) = &mut self.first {
            first.remove(&id);
        }
        match outcome {
            Ok(found) => {
                self.succeeded += 1;
                self.reported.remove(&id);
                match found {
                    Some(container) => source.upsert(container),
                    None => source.remove(&id),
                }
            }
            // What was known of it stays, and the next list tries again.
            Err(error) => {
                self.failed += 1;
                if self.reported.insert(id.clone()) {
                    warn!(
                        "{}: container {id} cannot be looked up: {error:#}",
                        self.follower.endpoint
                    );
                }
            }
        }
    }
}

/// Whether a container's process still stands; without the right to look it is taken for granted.
fn has_process(container: &Container) -> bool {
    !container
        .process
        .netns_inode()
        .is_err_and(|error| is_gone(&error))
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
