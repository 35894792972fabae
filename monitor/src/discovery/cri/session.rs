//! One connection to a runtime: from the first call to the first failure.
//!
//! The two lists say what there is; each sandbox and container is looked up once, when it is new.
//! That something changed is told by containerd's events; another runtime's lists are taken every
//! two seconds.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;

use anyhow::anyhow;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::time::{Instant, MissedTickBehavior};
use tonic::{Code, Status};
use tracing::{debug, info};

use super::Endpoint;
use super::client::{Client, Engine};
use super::look_up::{Listed, Pod, look_up};
use super::messages::{ListedContainer, PodSandbox};
use super::pace::Pace;
use crate::discovery::follow::{Ended, Follower};
use crate::discovery::grpc::{failed, value_of};
use crate::discovery::lookups::{Lookups, Outcome};
use crate::discovery::verify::has_process;
use crate::pod_labels::PodLabels;

/// What tells that something changed.
type Events = BoxStream<'static, Result<(), Status>>;

/// The state of a connection.
pub(super) struct Session<'a> {
    follower: &'a Follower<Endpoint>,
    client: Client,
    engine: Engine,
    lookups: Lookups<'a>,
    /// The last lists, by id.
    listed: HashMap<String, Listed>,
    /// Ids that were asked for since the last full list, so that those of which nothing came are
    /// not asked for in every round.
    asked: HashSet<String>,
    /// Sandboxes that have no process, and will have none.
    bare: HashSet<String>,
    pace: Pace,
}

impl<'a> Session<'a> {
    /// Connects, and follows the runtime until something fails; that is what it returns. `on_up`
    /// is called once the first list is complete.
    pub(super) async fn run(
        follower: &'a Follower<Endpoint>,
        on_up: impl FnOnce(&dyn Display),
    ) -> Result<Infallible, Ended> {
        let (client, engine) = Client::connect(&follower.endpoint, follower.timing.call).await?;
        let mut session = Self {
            follower,
            client,
            engine,
            lookups: Lookups::default(),
            listed: HashMap::new(),
            asked: HashSet::new(),
            bare: HashSet::new(),
            pace: Pace::new(Instant::now()),
        };
        Ok(session.follow(on_up).await?)
    }

    async fn follow(&mut self, on_up: impl FnOnce(&dyn Display)) -> anyhow::Result<Infallible> {
        let mut events = self.events();
        let mut resync = tokio::time::interval(self.follower.timing.resync);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut on_up = Some(on_up);
        loop {
            self.follower
                .up_with(&self.lookups, &self.engine, &mut on_up)?;
            self.start_lookups();
            tokio::select! {
                event = events.next() => {
                    if let Some(other) = self.handle(event)? {
                        events = other;
                    }
                }
                _ = resync.tick() => self.list(true).await?,
                () = self.pace.due() => self.list(false).await?,
                Some(outcome) = self.lookups.next() => self.settle(outcome),
            }
        }
    }

    fn events(&mut self) -> Events {
        if self.engine.has_events() {
            self.client.events().boxed()
        } else {
            self.poll()
        }
    }

    /// Takes the lists every so often: there are no events.
    fn poll(&mut self) -> Events {
        self.pace.poll(self.follower.timing.poll, Instant::now());
        stream::pending().boxed()
    }

    /// Notes an event, or that there will be none: then it gives what to follow from now on.
    fn handle(&mut self, event: Option<Result<(), Status>>) -> anyhow::Result<Option<Events>> {
        match event {
            Some(Ok(())) => {
                self.follower.source.count_event();
                self.pace.event(Instant::now());
                Ok(None)
            }
            Some(Err(status)) if is_refusal(status.code()) => {
                info!(
                    "{} gives no events, its list is taken every {:?}: {:#}",
                    self.follower.endpoint,
                    self.follower.timing.poll,
                    failed("Subscribe", &status)
                );
                Ok(Some(self.poll()))
            }
            Some(Err(status)) => Err(failed("Subscribe", &status)),
            None => Err(anyhow!("event stream ended")),
        }
    }

    /// Takes the lists, and has looked up what is new; what is not on them any more is forgotten.
    /// A full round also looks whether the processes still stand, and asks again for what could
    /// not be told before.
    async fn list(&mut self, full: bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        // In this order the sandbox of every container is listed too, since it begins before them.
        let containers = self.client.containers().await?;
        let sandboxes = self.client.sandboxes().await?;
        self.pace.listed(begun, Instant::now());
        let listed = by_id(sandboxes, containers, &self.follower.pod_labels);
        let source = &self.follower.source;
        let before = self.listed.keys().cloned().chain(source.ids());
        for gone in before.filter(|id| !listed.contains_key(id)) {
            source.remove(&gone);
            self.lookups.forget(&gone);
        }
        let is_listed = |id: &String| listed.contains_key(id);
        self.lookups.retain_failures(|id| listed.contains_key(id));
        self.bare.retain(is_listed);
        if full {
            self.asked.clear();
        } else {
            self.asked.retain(is_listed);
        }
        let mut known = 0;
        let mut questions = Vec::new();
        for id in listed.keys() {
            let stands = source
                .get(id)
                .is_some_and(|found| !full || has_process(&found));
            if stands || self.bare.contains(id) {
                known += 1;
            } else if self.asked.insert(id.clone()) {
                questions.push(id.clone());
            }
        }
        if full || !questions.is_empty() {
            debug!(
                "{}: {} listed, {} to look up",
                self.follower.endpoint,
                listed.len(),
                questions.len()
            );
        }
        self.listed = listed;
        self.lookups.take(questions, known);
        Ok(())
    }

    fn start_lookups(&mut self) {
        let runtime = self.engine.runtime;
        let (client, procfs, listed) = (&self.client, &self.follower.procfs, &self.listed);
        self.lookups.start(|id| {
            let (client, procfs) = (client.clone(), Arc::clone(procfs));
            let listed = listed.get(&id).cloned();
            async move {
                let outcome = match listed {
                    Some(listed) => look_up(&client, &procfs, runtime, &listed).await,
                    None => Ok(None),
                };
                (id, outcome)
            }
        });
    }

    fn settle(&mut self, outcome: Outcome) {
        let is_sandbox = self.listed.get(&outcome.0).is_some_and(Listed::is_sandbox);
        if is_sandbox && matches!(outcome.1, Ok(None)) {
            self.bare.insert(outcome.0.clone());
        }
        let Follower {
            source, endpoint, ..
        } = self.follower;
        self.lookups.settle(outcome, source, endpoint);
    }
}

/// Whether this says that the service is not to be had, not that the connection broke.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Unimplemented
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::InvalidArgument
    )
}

/// Both lists in one. Lines without an id that could be asked for are left out.
fn by_id(
    sandboxes: Vec<PodSandbox>,
    containers: Vec<ListedContainer>,
    chosen: &PodLabels,
) -> HashMap<String, Listed> {
    let mut pods = HashMap::new();
    let mut listed = Vec::new();
    for mut sandbox in sandboxes {
        let (labels, annotations) = (
            std::mem::take(&mut sandbox.labels),
            std::mem::take(&mut sandbox.annotations),
        );
        let values = chosen.values(
            |key| value_of(&labels, key),
            |key| value_of(&annotations, key),
        );
        let pod = Pod {
            metadata: sandbox.metadata.clone(),
            labels: Arc::clone(&values),
        };
        pods.insert(sandbox.id.clone(), pod);
        listed.push(Listed::Sandbox(sandbox, values));
    }
    let containers = containers.into_iter().map(|container| {
        let pod = pods.get(&container.pod_sandbox_id).cloned();
        Listed::Container(container, pod.unwrap_or_default())
    });
    listed
        .into_iter()
        .chain(containers)
        .filter_map(|listed| Some((listed.id()?, listed)))
        .collect()
}
