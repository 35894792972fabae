//! What the tests of several sources need: a source that is followed, and processes to be found.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::follow::{Demand, Endpoint, Follower, Timing};
use super::{Inventory, Source, SourceState};
use crate::container::Container;
use crate::procfs::ProcFs;

/// Short times, so that a test need not wait.
pub(super) const TIMING: Timing = Timing {
    call: Duration::from_millis(300),
    resync: Duration::from_millis(150),
    poll: Duration::from_millis(150),
    first_retry: Duration::from_millis(20),
    last_retry: Duration::from_millis(40),
    presence: Duration::from_millis(20),
};

/// What follows an endpoint, on this machine's processes.
pub(super) fn follower<E>(
    endpoint: E,
    demand: Demand,
    timing: Timing,
    source: Source,
) -> Follower<E> {
    Follower {
        endpoint,
        demand,
        timing,
        procfs: Arc::new(ProcFs::open("/proc".as_ref()).unwrap()),
        source,
        pod_labels: Arc::default(),
    }
}

/// A source that follows an endpoint until it is dropped.
pub(super) struct Followed {
    pub(super) inventory: Arc<Inventory>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Followed {
    /// Follows `endpoint`, with [`TIMING`].
    pub(super) fn start(endpoint: impl Endpoint + Send + 'static, demand: Demand) -> Self {
        Self::timed(endpoint, demand, TIMING)
    }

    pub(super) fn timed(
        endpoint: impl Endpoint + Send + 'static,
        demand: Demand,
        timing: Timing,
    ) -> Self {
        let inventory = Inventory::new();
        let follower = follower(endpoint, demand, timing, inventory.add_source("runtime"));
        let task = tokio::spawn(follower.until(std::future::pending()));
        Self { inventory, task }
    }

    pub(super) fn state(&self) -> SourceState {
        self.inventory.sources()[0].state
    }

    pub(super) fn events(&self) -> u64 {
        self.inventory.sources()[0].events
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .inventory
            .containers()
            .iter()
            .map(|container| container.name.clone())
            .collect();
        names.sort();
        names
    }

    pub(super) fn only(&self) -> Arc<Container> {
        let containers = self.inventory.containers();
        assert_eq!(containers.len(), 1);
        Arc::clone(&containers[0])
    }

    #[track_caller]
    pub(super) fn until(
        &self,
        what: &str,
        done: impl Fn(&Self) -> bool,
    ) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            for _ in 0..1000 {
                if done(self) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!(
                "{caller}: waited in vain until {what}: {:?}",
                self.inventory
            );
        }
    }

    pub(super) async fn until_state(&self, state: SourceState) {
        self.until(&format!("{state:?}"), |followed| followed.state() == state)
            .await;
    }
}

/// A process of ours that sleeps; it is killed and reaped when dropped.
pub(super) struct Child(std::process::Child);

impl Child {
    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Kills it without reaping it.
    pub(super) fn kill(mut self) -> Self {
        self.0.kill().unwrap();
        let zombie = || {
            let stat = std::fs::read(format!("/proc/{}/stat", self.0.id())).unwrap();
            crate::procfs::stat::parse(&stat).unwrap().has_exited()
        };
        while !zombie() {
            std::thread::yield_now();
        }
        self
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn sleeper() -> Child {
    let child = Command::new("sleep")
        .arg("600")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Child(child)
}

/// A container id that no cgroup has. Where the tests themselves run in a container whose cgroup
/// names it, number 1 is that container's id, since the children are in it.
pub(super) fn unknown_id(number: u8) -> String {
    let own = std::fs::read("/proc/self/cgroup").unwrap();
    match crate::discovery::container_id::of_process(&own) {
        Some(container) if number == 1 => container.id.to_owned(),
        _ => format!("{number:064x}"),
    }
}
