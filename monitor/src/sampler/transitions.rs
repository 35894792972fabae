//! TCP state transitions of each container, from the eBPF program's map.
//!
//! The program counts by namespace and cgroup. Here both are turned into a container: the one
//! whose cgroup it is, else the owner of the namespace, so that the sum over a namespace is whole.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use monitor_ebpf::{Key, MAX_KEYS, SLOTS, Transitions, UNLISTED};
use tracing::debug;

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

/// The host's namespace, as the program names it.
#[derive(Clone, Copy, Debug)]
pub struct HostNamespace {
    /// Inode number.
    pub inode: u64,
    /// Cookie, where the kernel has one.
    pub cookie: Option<u64>,
}

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
    cgroups: Cgroups,
    cgroups_read: Option<Instant>,
    /// Counts of cgroups that are gone, by living namespace: they stand under its owner.
    retired: HashMap<u64, Counts>,
    /// Sum of all counts that were removed from the map.
    removed: Counts,
    /// When an entry was first seen whose namespace or cgroup nobody knows.
    unknown_since: HashMap<Key, Instant>,
}

impl TransitionSampler {
    /// Takes over an attached program.
    pub fn new(counter: TransitionCounter, cgroups: Cgroups) -> Self {
        Self {
            counter,
            cgroups,
            cgroups_read: None,
            retired: HashMap::new(),
            removed: [0; SLOTS],
            unknown_since: HashMap::new(),
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
    ) -> io::Result<TransitionSample<'a>> {
        let now = Instant::now();
        let entries = self.counter.read()?;
        let known: HashSet<&Key> = entries.iter().map(|(key, _)| key).collect();
        self.unknown_since.retain(|key, _| known.contains(key));
        self.refresh_cgroups(&entries, now);

        let crowded = entries.len() > MAX_KEYS as usize / 2;
        let keep = if crowded {
            KEEP_UNKNOWN_CROWDED
        } else {
            KEEP_UNKNOWN
        };
        let places = Places::new(placement, host, self.counter.has_cookie());
        let mut tally = Tally::default();
        let mut total = self.removed;
        for &(
            key,
            Transitions {
                inode,
                counts: ref counted,
            },
        ) in &entries
        {
            add(&mut total, counted);
            let namespace = places.namespace(key.netns, inode);
            let container = self
                .cgroups
                .container(key.cgroup)
                .and_then(|id| places.container(id));
            tally.add(container.map(Subject::Container).or(namespace), counted);
            let known = namespace.is_some() && self.cgroups.may_exist(key.cgroup);
            if container.is_none() && !known {
                let since = *self.unknown_since.entry(key).or_insert(now);
                if now - since >= keep {
                    self.retire(key, counted, namespace.is_some());
                }
            } else {
                self.unknown_since.remove(&key);
            }
        }
        self.retired.retain(|&netns, retired| {
            let namespace = places.namespace(netns, netns);
            tally.add(namespace, retired);
            namespace.is_some()
        });
        Ok(TransitionSample {
            containers: tally.containers.into_values().collect(),
            host: tally.host,
            events: total.iter().sum(),
            unlisted: total[usize::from(UNLISTED)],
            entries: entries.len() as u64,
            map_full: self.counter.problems()?.map_full,
            missed: self.counter.missed(),
        })
    }

    /// Looks the cgroups up again when an entry has one that was never looked for, and now and
    /// then to learn which are gone.
    fn refresh_cgroups(&mut self, entries: &[(Key, Transitions)], now: Instant) {
        let new = entries.iter().any(|(key, _)| {
            !self.cgroups.may_exist(key.cgroup) && !self.unknown_since.contains_key(key)
        });
        if !new
            && self
                .cgroups_read
                .is_some_and(|read| now - read < KEEP_UNKNOWN)
        {
            return;
        }
        self.cgroups_read = Some(now);
        if let Err(error) = self.cgroups.refresh() {
            debug!(%error, "cannot read the cgroup tree");
        }
    }

    /// Removes an entry. Where only its cgroup is gone, its counts stay with the namespace.
    fn retire(&mut self, key: Key, counted: &Counts, has_namespace: bool) {
        if let Err(error) = self.counter.remove(key) {
            debug!(?key, %error, "cannot remove an entry of the transition map");
            return;
        }
        self.unknown_since.remove(&key);
        add(&mut self.removed, counted);
        if has_namespace {
            add(self.retired.entry(key.netns).or_insert([0; SLOTS]), counted);
        }
    }
}

/// Who a count belongs to.
#[derive(Clone, Copy, Debug)]
enum Subject<'a> {
    Container(&'a Arc<Container>),
    Host,
}

/// Finds namespaces and containers by what the program knows of them.
struct Places<'a> {
    /// The owner of each namespace, by the number that stands in [`Key::netns`].
    by_key: HashMap<u64, Subject<'a>>,
    /// The same for namespaces whose cookie could not be asked, by inode number.
    by_inode: HashMap<u64, Subject<'a>>,
    by_id: HashMap<&'a str, &'a Arc<Container>>,
}

impl<'a> Places<'a> {
    fn new(placement: &'a Placement, host: HostNamespace, has_cookie: bool) -> Self {
        let mut places = Self {
            by_key: HashMap::new(),
            by_inode: HashMap::new(),
            by_id: HashMap::new(),
        };
        places.put(host.inode, host.cookie, has_cookie, Subject::Host);
        for namespace in &placement.namespaces {
            let owner = Subject::Container(namespace.owner());
            places.put(namespace.inode, namespace.cookie, has_cookie, owner);
            places.by_id.extend(
                namespace
                    .members
                    .iter()
                    .map(|member| (member.id.as_str(), member)),
            );
        }
        let host_network = &placement.host_network;
        places.by_id.extend(
            host_network
                .iter()
                .map(|member| (member.id.as_str(), member)),
        );
        // Containers without an id are found by their namespace alone.
        places.by_id.remove("");
        places
    }

    fn put(&mut self, inode: u64, cookie: Option<u64>, has_cookie: bool, owner: Subject<'a>) {
        match (has_cookie, cookie) {
            (true, Some(cookie)) => self.by_key.insert(cookie, owner),
            (true, None) => self.by_inode.insert(inode, owner),
            (false, _) => self.by_key.insert(inode, owner),
        };
    }

    fn namespace(&self, key: u64, inode: u64) -> Option<Subject<'a>> {
        self.by_key
            .get(&key)
            .or_else(|| self.by_inode.get(&inode))
            .copied()
    }

    fn container(&self, id: &str) -> Option<&'a Arc<Container>> {
        self.by_id.get(id).copied()
    }
}

/// Sums by container.
#[derive(Default)]
struct Tally<'a> {
    containers: HashMap<*const Container, (&'a Arc<Container>, Counts)>,
    host: Counts,
}

impl<'a> Tally<'a> {
    fn add(&mut self, subject: Option<Subject<'a>>, counted: &Counts) {
        let sum = match subject {
            Some(Subject::Container(container)) => {
                let key = Arc::as_ptr(container);
                &mut self
                    .containers
                    .entry(key)
                    .or_insert((container, [0; SLOTS]))
                    .1
            }
            Some(Subject::Host) => &mut self.host,
            None => return,
        };
        add(sum, counted);
    }
}

fn add(sum: &mut Counts, counted: &Counts) {
    for (sum, count) in sum.iter_mut().zip(counted) {
        *sum += count;
    }
}
