//! The book of what was counted: it gives every entry of the map to somebody, keeps what was
//! counted under keys that are no more, and says which entries may go. It touches no kernel.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use monitor_ebpf::{Key, SLOTS, Transitions};

use super::Counts;
use crate::cgroups::Cgroups;
use crate::sampler::places::{Places, Subject, Tally};

/// What lives between two samples.
#[derive(Debug)]
pub(super) struct Ledger {
    /// What stood under a container, by the key it was counted under: a later owner of the key
    /// gets only what came after, or the same events would be counted twice.
    given: HashMap<Key, Counts>,
    /// Counts whose entries are gone, by key and inode number of their living namespace: they
    /// stand under its owner.
    of_namespaces: HashMap<(u64, u64), Counts>,
    /// The same of namespaces that are gone, by the id of their living container.
    of_containers: HashMap<Arc<str>, Counts>,
    /// Sum of all counts that were removed from the map.
    removed: Counts,
    /// When an entry was first seen whose namespace or cgroup nobody knows.
    unknown_since: HashMap<Key, Instant>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            given: HashMap::new(),
            of_namespaces: HashMap::new(),
            of_containers: HashMap::new(),
            removed: [0; SLOTS],
            unknown_since: HashMap::new(),
        }
    }
}

/// All entries, given to somebody.
pub(super) struct Account<'a> {
    pub(super) tally: Tally<'a, Counts>,
    /// The sum of all that was ever counted.
    pub(super) total: Counts,
    /// Places of the entries that have been unknown for long.
    pub(super) outdated: Vec<usize>,
}

impl<'a> Account<'a> {
    fn add(&mut self, subject: Option<Subject<'a>>, counts: &Counts) {
        if let Some(subject) = subject {
            add(self.tally.of(subject), counts);
        }
    }
}

/// Adds counts slot by slot.
fn add(sum: &mut Counts, counts: &Counts) {
    for (sum, count) in sum.iter_mut().zip(counts) {
        *sum += count;
    }
}

impl Ledger {
    /// Gives every entry to its cgroup's container, else to the owner of its namespace. Entries
    /// whose namespace or cgroup nobody has known for `keep` are outdated.
    ///
    /// An entry of a container that no source has told of yet is given to nobody until it is
    /// outdated: its counts would have to be taken from the owner again, and a counter must not
    /// fall.
    pub(super) fn account<'a>(
        &mut self,
        entries: &[(Key, Transitions)],
        places: &Places<'a>,
        cgroups: &Cgroups,
        now: Instant,
        keep: Duration,
    ) -> Account<'a> {
        let keys: HashSet<&Key> = entries.iter().map(|(key, _)| key).collect();
        self.unknown_since.retain(|key, _| keys.contains(key));
        self.given.retain(|key, _| keys.contains(key));
        let mut account = Account {
            tally: Tally::new(),
            total: self.removed,
            outdated: Vec::new(),
        };
        self.of_namespaces.retain(|&(netns, inode), counts| {
            let namespace = places.namespace(netns, inode);
            account.add(namespace, counts);
            namespace.is_some()
        });
        self.of_containers.retain(|id, counts| {
            let container = places.container(id).map(Subject::Container);
            account.add(container, counts);
            container.is_some()
        });
        for (place, (key, Transitions { inode, counts })) in entries.iter().enumerate() {
            add(&mut account.total, counts);
            let namespace = places.namespace(key.netns, *inode);
            let id = cgroups.container(key.cgroup);
            let container = id.and_then(|id| places.container(id));
            let mut is_known = namespace.is_some() && cgroups.may_exist(key.cgroup);
            if let Some(container) = container {
                account.add(Some(Subject::Container(container)), counts);
                self.given.insert(*key, *counts);
            } else if id.is_some() && !self.given.contains_key(key) {
                is_known = false;
            } else {
                account.add(namespace, &self.rest(key, counts));
            }
            if is_known {
                self.unknown_since.remove(key);
                continue;
            }
            let since = *self.unknown_since.entry(*key).or_insert(now);
            if now - since >= keep {
                account.outdated.push(place);
            }
        }
        account
    }

    /// Takes over the counts of an entry that has just been removed from the map: they stay with
    /// the namespace where only its cgroup is gone, and with the container where only its
    /// namespace is.
    pub(super) fn retire(
        &mut self,
        entry: &(Key, Transitions),
        places: &Places<'_>,
        cgroups: &Cgroups,
    ) {
        let (key, Transitions { inode, counts }) = entry;
        self.unknown_since.remove(key);
        add(&mut self.removed, counts);
        let id = cgroups.container(key.cgroup);
        let zero = [0; SLOTS];
        if let Some(id) = id.filter(|id| places.container(id).is_some()) {
            add(
                self.of_containers.entry(Arc::clone(id)).or_insert(zero),
                counts,
            );
        } else if places.namespace(key.netns, *inode).is_some() {
            let rest = self.rest(key, counts);
            add(
                self.of_namespaces
                    .entry((key.netns, *inode))
                    .or_insert(zero),
                &rest,
            );
        }
        self.given.remove(key);
    }

    /// What of an entry's counts has not stood under a container yet.
    fn rest(&self, key: &Key, counts: &Counts) -> Counts {
        let mut rest = *counts;
        if let Some(given) = self.given.get(key) {
            for (rest, given) in rest.iter_mut().zip(given) {
                *rest = rest.saturating_sub(*given);
            }
        }
        rest
    }
}
