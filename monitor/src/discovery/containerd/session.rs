//! One connection to containerd: from the first call to the first failure.
//!
//! The list says what there is, the events what starts and ends.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::StreamExt as _;
use tokio::time::{Instant, MissedTickBehavior, sleep_until, timeout};
use tracing::debug;

use super::Endpoint;
use super::client::{Client, Event, Key};
use super::describe::describe;
use crate::container::{Container, Runtime};
use crate::discovery::follow::{Ended, Follower};
use crate::discovery::grpc::failed;
use crate::discovery::lookups::{Lookups, Outcome};
use crate::discovery::verify::{described, has_process, with_living_process};
use crate::procfs::ProcFs;

/// Namespaces whose containers another source most likely has: those of the CRI and of Docker.
const SHARED: [&str; 2] = ["k8s.io", "moby"];

/// How long the other sources have to find a container of theirs before it is taken from here.
const HEAD_START: Duration = Duration::from_millis(700);

/// Between the first list and one more: containerd does not say when the events have begun to be
/// followed, and what started meanwhile may be in neither.
const SECOND_LIST: Duration = Duration::from_secs(2);

/// The state of a connection.
pub(super) struct Session<'a> {
    follower: &'a Follower<Endpoint>,
    client: Client,
    engine: String,
    lookups: Lookups<'a>,
    /// Those that wait for the other sources, and until when.
    waiting: VecDeque<(Instant, Key)>,
    /// Those that do not run: an event would tell.
    bare: HashSet<String>,
}

impl<'a> Session<'a> {
    /// Connects, and follows containerd until something fails; that is what it returns. `on_up` is
    /// called once the first list is complete.
    pub(super) async fn run(
        follower: &'a Follower<Endpoint>,
        on_up: impl FnOnce(&dyn Display),
    ) -> Result<Infallible, Ended> {
        let socket = follower.endpoint.socket();
        let (client, engine) = Client::connect(socket, follower.timing.call).await?;
        // So that what they have is not looked up here too; in vain where one of them hangs.
        let _ = timeout(HEAD_START, follower.source.others_settled()).await;
        let mut session = Self {
            follower,
            client,
            engine,
            lookups: Lookups::default(),
            waiting: VecDeque::new(),
            bare: HashSet::new(),
        };
        Ok(session.follow(on_up).await?)
    }

    async fn follow(&mut self, on_up: impl FnOnce(&dyn Display)) -> anyhow::Result<Infallible> {
        let mut events = self.client.events().boxed();
        let mut resync = tokio::time::interval(self.follower.timing.resync);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut second_list = Some(Instant::now() + SECOND_LIST);
        let mut on_up = Some(on_up);
        loop {
            self.follower
                .up_with(&self.lookups, &self.engine, &mut on_up)?;
            self.start_lookups();
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => self.handle(event),
                    Some(Err(status)) => return Err(failed("Subscribe", &status)),
                    None => return Err(anyhow!("event stream ended")),
                },
                _ = resync.tick() => self.list().await?,
                () = due(second_list) => {
                    second_list = None;
                    self.bare.clear();
                    self.list().await?;
                }
                () = due(self.waiting.front().map(|(until, _)| *until)) => self.wait_no_more(),
                Some(outcome) = self.lookups.next() => self.settle(outcome),
            }
        }
    }

    /// Takes the list, and has looked up what is new or lost its process; what is not on it any more
    /// is forgotten, and what another source has by now is left to it.
    async fn list(&mut self) -> anyhow::Result<()> {
        let list = self.client.containers().await?;
        let source = &self.follower.source;
        let listed: HashSet<String> = list.iter().map(Key::to_string).collect();
        for key in source.ids().iter().filter(|key| !listed.contains(*key)) {
            source.remove(key);
            self.lookups.forget(key);
        }
        self.lookups.retain_failures(|key| listed.contains(key));
        self.bare.retain(|key| listed.contains(key));
        let mut known = 0;
        let mut questions = Vec::new();
        for key in list {
            let name = key.to_string();
            if source.others_have(&key.id) {
                source.remove(&name);
            } else if source.get(&name).is_some_and(|found| has_process(&found)) {
                known += 1;
            } else if !self.bare.contains(&name) {
                questions.push(name);
            }
        }
        debug!(
            "{}: {} listed, {} to look up",
            self.follower.endpoint,
            listed.len(),
            questions.len()
        );
        self.lookups.take(questions, known);
        Ok(())
    }

    fn handle(&mut self, event: Option<Event>) {
        let source = &self.follower.source;
        match event {
            Some(Event::Started(key)) => {
                source.count_event();
                let name = key.to_string();
                self.bare.remove(&name);
                if SHARED.contains(&&*key.namespace) && source.has_others() {
                    self.waiting.push_back((Instant::now() + HEAD_START, key));
                } else {
                    self.lookups.enqueue(name);
                }
            }
            Some(Event::Ended(key)) => {
                source.count_event();
                self.waiting.retain(|(_, waiting)| *waiting != key);
                let name = key.to_string();
                source.remove(&name);
                self.lookups.forget(&name);
            }
            None => {}
        }
    }

    /// Takes the one that has waited longest, unless another source has it.
    fn wait_no_more(&mut self) {
        if let Some((_, key)) = self.waiting.pop_front()
            && !self.follower.source.others_have(&key.id)
        {
            self.lookups.enqueue(key.to_string());
        }
    }

    fn start_lookups(&mut self) {
        let (client, procfs) = (&self.client, &self.follower.procfs);
        self.lookups.start(|name| {
            let (client, procfs) = (client.clone(), Arc::clone(procfs));
            async move {
                let outcome = match Key::parse(&name) {
                    Some(key) => look_up(&client, &procfs, &key).await,
                    None => Ok(None),
                };
                (name, outcome)
            }
        });
    }

    fn settle(&mut self, outcome: Outcome) {
        if matches!(outcome.1, Ok(None)) {
            self.bare.insert(outcome.0.clone());
        }
        let Follower {
            source, endpoint, ..
        } = self.follower;
        self.lookups.settle(outcome, source, endpoint);
    }
}

/// Waits until then; for ever where there is no time.
async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Asks for a container, opens its process and makes sure that it is the container's. `None` when
/// it does not run (any more).
async fn look_up(
    client: &Client,
    procfs: &Arc<ProcFs>,
    key: &Key,
) -> anyhow::Result<Option<Container>> {
    let ask = || async {
        let found = client.container(key).await?;
        Ok(found.and_then(|(container, task)| describe(&container, &task)))
    };
    let Some((description, process)) = described(procfs, ask).await? else {
        return Ok(None);
    };
    let container = description.into_container(Runtime::Containerd, process);
    Ok(with_living_process(procfs, container).await)
}
