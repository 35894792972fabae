//! Which containers there are: the [`Inventory`] and the sources that fill it.
//!
//! A runtime source ([`docker`], [`cri`], [`containerd`]) is a task that follows its runtime and writes to the
//! inventory through a [`Source`]. The source without a runtime ([`cgroup`]) keeps no state: it
//! scans `/proc` when a scrape asks.

pub mod cgroup;
pub mod container_id;
pub mod containerd;
pub mod cri;
mod description;
pub mod docker;
mod events;
pub mod follow;
mod grpc;
mod lookups;
pub mod scan;
pub mod socket;
#[cfg(test)]
mod testing;
mod verify;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::container::Container;

/// What a source says of its runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// The first attempt has not ended yet.
    Starting,
    /// There is no such runtime on this machine (only looked for because of `auto`).
    Absent,
    /// There is no such runtime on this machine, though one of its kind was asked for.
    Missing,
    /// The runtime does not answer; what was known of it stays.
    Down,
    /// The runtime answers and its list is complete.
    Up,
}

/// One source, as the metrics show it.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// The value of the `runtime` label, which several sources may share.
    pub runtime: &'static str,
    /// See [`SourceState`].
    pub state: SourceState,
    /// Whether it ever gave a full list.
    pub answered: bool,
    /// Events handled since start.
    pub events: u64,
}

#[derive(Debug)]
struct SourceEntry {
    status: SourceStatus,
    containers: BTreeMap<String, Arc<Container>>,
}

impl SourceEntry {
    /// Whether it has this container of another source, which keeps it under `key`: by its id, or
    /// as a process that has the same key (one runtime at two sockets).
    fn has(&self, key: &str, container: &Container) -> bool {
        let same_process = |known: &Arc<Container>| known.process.pid() == container.process.pid();
        self.containers.contains_key(&container.id)
            || self.containers.get(key).is_some_and(same_process)
    }
}

/// All containers of all sources: the only state that lives between scrapes.
#[derive(Debug, Default)]
pub struct Inventory {
    sources: Mutex<Vec<SourceEntry>>,
    changed: watch::Sender<()>,
}

impl Inventory {
    /// An inventory without a source.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Adds a source. Where two sources know the same container id, the one added first counts.
    pub fn add_source(self: &Arc<Self>, runtime: &'static str) -> Source {
        let mut sources = self.lock();
        sources.push(SourceEntry {
            status: SourceStatus {
                runtime,
                state: SourceState::Starting,
                answered: false,
                events: 0,
            },
            containers: BTreeMap::new(),
        });
        Source {
            inventory: Arc::clone(self),
            index: sources.len() - 1,
        }
    }

    /// Every known container, each id once.
    pub fn containers(&self) -> Vec<Arc<Container>> {
        let sources = self.lock();
        let mut containers: Vec<Arc<Container>> = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let earlier = &sources[..index];
            containers.extend(
                source
                    .containers
                    .iter()
                    .filter(|(key, container)| {
                        !earlier.iter().any(|other| other.has(key, container))
                    })
                    .map(|(_, container)| Arc::clone(container)),
            );
        }
        containers
    }

    /// The state of every source, in the order they were added.
    pub fn sources(&self) -> Vec<SourceStatus> {
        self.lock()
            .iter()
            .map(|source| source.status.clone())
            .collect()
    }

    /// Whether a runtime has ever given its full list.
    pub fn any_answered(&self) -> bool {
        self.lock().iter().any(|source| source.status.answered)
    }

    /// Whether sources with this label were asked for, and nothing is there of any.
    pub fn is_missing(&self, runtime: &str) -> bool {
        let sources = self.lock();
        let mut states = sources
            .iter()
            .map(|source| &source.status)
            .filter(|status| status.runtime == runtime)
            .map(|status| status.state)
            .peekable();
        states.peek().is_some() && states.all(|state| state == SourceState::Missing)
    }

    /// Waits until every source's first attempt has ended, well or badly.
    pub async fn settled(&self) {
        let mut changes = self.changed.subscribe();
        // The sender lives in `self`, so waiting cannot fail while we are borrowed.
        let _ = changes.wait_for(|()| self.is_settled()).await;
    }

    /// Whether every source's first attempt has ended, well or badly.
    pub fn is_settled(&self) -> bool {
        self.lock()
            .iter()
            .all(|source| source.status.state != SourceState::Starting)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SourceEntry>> {
        // Every critical section leaves the map whole, so a poisoned lock holds good data.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A source's own part of the [`Inventory`].
#[derive(Debug)]
pub struct Source {
    inventory: Arc<Inventory>,
    index: usize,
}

impl Source {
    /// Sets what is known of the runtime. The containers stay as they are.
    pub fn set_state(&self, state: SourceState) {
        self.with(|entry| {
            entry.status.state = state;
            entry.status.answered |= state == SourceState::Up;
        });
    }

    /// Counts an event of the runtime.
    pub fn count_event(&self) {
        self.with(|entry| entry.status.events += 1);
    }

    /// Adds a container, or puts it in the place of the one with the same id.
    pub fn upsert(&self, container: Container) {
        self.upsert_as(container.id.clone(), container);
    }

    /// The same under a key of the source's own, where ids alone are not unique.
    pub fn upsert_as(&self, key: String, container: Container) {
        self.with(|entry| {
            entry.containers.insert(key, Arc::new(container));
        });
    }

    /// The container with this id, where the source knows it.
    pub fn get(&self, id: &str) -> Option<Arc<Container>> {
        self.with(|entry| entry.containers.get(id).cloned())
    }

    /// The ids of all containers that the source knows.
    pub fn ids(&self) -> Vec<String> {
        self.with(|entry| entry.containers.keys().cloned().collect())
    }

    /// Forgets the container with this id.
    pub fn remove(&self, id: &str) {
        self.with(|entry| {
            entry.containers.remove(id);
        });
    }

    /// Whether sources were added before this one.
    pub fn has_others(&self) -> bool {
        self.index > 0
    }

    /// Whether a source that was added before this one has the container with this id.
    pub fn others_have(&self, id: &str) -> bool {
        let sources = self.inventory.lock();
        let mut others = sources.iter().take(self.index);
        others.any(|other| other.containers.contains_key(id))
    }

    /// Waits until the first attempts of the sources before this one have ended.
    pub async fn others_settled(&self) {
        let are_settled = || {
            let sources = self.inventory.lock();
            let mut others = sources.iter().take(self.index);
            others.all(|other| other.status.state != SourceState::Starting)
        };
        let mut changes = self.inventory.changed.subscribe();
        // The sender lives in the inventory, so waiting cannot fail while we are borrowed.
        let _ = changes.wait_for(|()| are_settled()).await;
    }

    fn with<T>(&self, change: impl FnOnce(&mut SourceEntry) -> T) -> T {
        let result = change(&mut self.inventory.lock()[self.index]);
        self.inventory.changed.send_replace(());
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Inventory, SourceState};
    use crate::testing::plain as container;

    fn names(inventory: &Inventory) -> Vec<String> {
        let containers = inventory.containers();
        containers.iter().map(|found| found.name.clone()).collect()
    }

    #[test]
    fn of_two_sources_with_the_same_id_the_first_counts() {
        let inventory = Inventory::new();
        let first = inventory.add_source("docker");
        let second = inventory.add_source("podman");
        second.upsert(container("1", "second's"));
        second.upsert(container("2", "other"));
        first.upsert(container("1", "first's"));
        assert_eq!(names(&inventory), ["first's", "other"]);
        first.remove("1");
        assert_eq!(names(&inventory), ["second's", "other"]);
        second.upsert(container("2", "renamed"));
        assert_eq!(names(&inventory), ["second's", "renamed"]);
        assert_eq!(first.ids(), [""; 0]);
        assert_eq!(second.ids(), ["1", "2"]);
        assert_eq!(second.get("2").unwrap().name, "renamed");
    }

    #[test]
    fn one_id_in_two_namespaces_is_two_containers_but_for_another_sources() {
        let inventory = Inventory::new();
        let (docker, containerd) = (
            inventory.add_source("docker"),
            inventory.add_source("containerd"),
        );
        containerd.upsert_as("a/1".to_owned(), container("1", "a's"));
        containerd.upsert_as("b/1".to_owned(), container("1", "b's"));
        assert_eq!(names(&inventory), ["a's", "b's"]);
        assert!(!containerd.others_have("1"));
        // The same containerd at another socket.
        let again = inventory.add_source("containerd");
        again.upsert_as("a/1".to_owned(), container("1", "a's again"));
        assert_eq!(names(&inventory), ["a's", "b's"]);
        docker.upsert(container("1", "docker's"));
        assert_eq!(names(&inventory), ["docker's"]);
        assert!(containerd.others_have("1") && !docker.others_have("1"));
    }

    #[test]
    fn what_was_known_and_that_it_answered_outlives_the_runtime() {
        let inventory = Inventory::new();
        let source = inventory.add_source("docker");
        source.upsert(container("1", "web"));
        assert!(!inventory.any_answered());
        source.set_state(SourceState::Up);
        source.set_state(SourceState::Down);
        source.count_event();
        assert!(inventory.any_answered());
        assert_eq!(names(&inventory), ["web"]);
        let [status] = &inventory.sources()[..] else {
            panic!("one source");
        };
        assert_eq!(status.runtime, "docker");
        assert_eq!(status.state, SourceState::Down);
        assert_eq!(status.events, 1);
    }

    #[tokio::test]
    async fn it_is_settled_when_no_source_is_starting() {
        let inventory = Inventory::new();
        inventory.settled().await;
        let sources = [
            inventory.add_source("docker"),
            inventory.add_source("podman"),
        ];
        assert!(!inventory.is_settled());
        let waiting = tokio::spawn({
            let inventory = Arc::clone(&inventory);
            async move { inventory.settled().await }
        });
        sources[0].set_state(SourceState::Down);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        sources[1].set_state(SourceState::Absent);
        tokio::time::timeout(Duration::from_secs(5), waiting)
            .await
            .unwrap()
            .unwrap();
    }
}
