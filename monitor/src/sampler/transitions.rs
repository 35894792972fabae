//! TCP state transitions of each container, from the eBPF program's map.
//!
//! The program counts by namespace and cgroup. Here both are turned into a container: the one
//! whose cgroup it is, else the owner of the namespace, so that the sum over a namespace is whole.

mod ledger;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use monitor_ebpf::{MAX_KEYS, SLOTS, UNLISTED};
use tracing::debug;

use self::ledger::Ledger;
use super::places::{HostNamespace, Places};
use crate::cgroups::Cgroups;
use crate::container::Container;
use crate::ebpf::TransitionCounter;
use crate::netns::Placement;

/// How long an entry of a namespace or cgroup that nobody knows is kept: a container's first
/// connections are counted before a runtime tells of it.
const KEEP_UNKNOWN: Duration = Duration::from_secs(120);

/// The same while the map is more than half full.
const KEEP_UNKNOWN_CROWDED: Duration = Duration::from_secs(10);

/// Counts by slot.
pub type Counts = [u64; SLOTS];

/// What the program counted, by container, and how it fares.
#[derive(Debug)]
pub struct TransitionSample<'a> {
    /// Counts of every container that has any.
    pub containers: Vec<(&'a Arc<Container>, Counts)>,
    /// Counts of the host's namespace that are no container's.
    pub host: Counts,
    /// Transitions counted since the start, also of namespaces that are gone.
    pub events: u64,
    /// Transitions between states that the program has no counter for; part of `events`.
    pub unlisted: u64,
    /// Entries in the map.
    pub entries: u64,
    /// Transitions lost because the map was full.
    pub map_full: u64,
    /// Events that the program never saw; `None` where the kernel cannot say.
    pub missed: Option<u64>,
}

/// The attached program, and what was counted under keys that are no more.
#[derive(Debug)]
pub struct TransitionSampler {
    counter: TransitionCounter,
    ledger: Ledger,
}

impl TransitionSampler {
    /// Takes over an attached program.
    pub fn new(counter: TransitionCounter) -> Self {
        Self {
            counter,
            ledger: Ledger::default(),
        }
    }

    /// The program's warnings, once; see [`TransitionCounter::take_logger`].
    pub fn counter_mut(&mut self) -> &mut TransitionCounter {
        &mut self.counter
    }

    /// Reads the map, gives every count to a container and forgets what is gone for good.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn sample<'a>(
        &mut self,
        placement: &'a Placement,
        host: HostNamespace,
        cgroups: &mut Cgroups,
    ) -> io::Result<TransitionSample<'a>> {
        let now = Instant::now();
        let entries = self.counter.read()?;
        cgroups.look_up(entries.iter().map(|(key, _)| key.cgroup), now);

        let crowded = entries.len() > MAX_KEYS as usize / 2;
        let keep = if crowded {
            KEEP_UNKNOWN_CROWDED
        } else {
            KEEP_UNKNOWN
        };
        let places = Places::new(placement, host, self.counter.has_cookie());
        let account = self.ledger.account(&entries, &places, cgroups, now, keep);
        for (key, _) in account.outdated.into_iter().map(|place| entries[place]) {
            match self.counter.take(key) {
                Ok(None) => {}
                Ok(Some(last)) => self.ledger.retire(&(key, last), &places, cgroups),
                Err(error) => debug!(?key, %error, "cannot remove an entry of the transition map"),
            }
        }
        Ok(TransitionSample {
            containers: account.tally.containers.into_values().collect(),
            host: account.tally.host,
            events: account.total.iter().sum(),
            unlisted: account.total[usize::from(UNLISTED)],
            entries: entries.len() as u64,
            map_full: self.counter.problems()?.map_full,
            missed: self.counter.missed(),
        })
    }
}
