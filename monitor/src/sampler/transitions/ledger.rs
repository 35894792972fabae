//! The book of what was counted: it gives every entry of the map to somebody, keeps what was
//! counted under keys that are no more, and says which entries may go. It touches no kernel.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use monitor_ebpf::{Key, SLOTS, Transitions};

use super::Counts;
use super::places::{Places, Subject, Tally, add};
use crate::cgroups::Cgroups;

/// What lives between two samples.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Counts of cgroups that are gone, by key and inode number of their living namespace: they
    /// stand under its owner.
    retired: HashMap<(u64, u64), Counts>,
    /// Sum of all counts that were removed from the map.
    removed: Counts,
    /// When an entry was first seen whose namespace or cgroup nobody knows.
    unknown_since: HashMap<Key, Instant>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            retired: HashMap::new(),
            removed: [0; SLOTS],
            unknown_since: HashMap::new(),
        }
    }
}

/// All entries, given to somebody.
pub(super) struct Account<'a> {
    pub(super) tally: Tally<'a>,
    /// The sum of all that was ever counted.
    pub(super) total: Counts,
    /// Places of the entries that have been unknown for long.
    pub(super) outdated: Vec<usize>,
}

impl Ledger {
    /// Gives every entry to its cgroup's container, else to the owner of its namespace. Entries
    /// whose namespace or cgroup nobody has known for `keep` are outdated.
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
        let mut account = Account {
            tally: Tally::default(),
            total: self.removed,
            outdated: Vec::new(),
        };
        self.retired.retain(|&(netns, inode), retired| {
            let namespace = places.namespace(netns, inode);
            account.tally.add(namespace, retired);
            namespace.is_some()
        });
        for (place, (key, Transitions { inode, counts })) in entries.iter().enumerate() {
            add(&mut account.total, counts);
            let namespace = places.namespace(key.netns, *inode);
            let id = cgroups.container(key.cgroup);
            let container = id.and_then(|id| places.container(id));
            let subject = container.map(Subject::Container).or(namespace);
            account.tally.add(subject, counts);
            let is_known = namespace.is_some() && cgroups.may_exist(key.cgroup);
            if container.is_some() || is_known {
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

    /// Takes over the counts of an entry that has just been removed from the map. Where only its
    /// cgroup is gone, they stay with the namespace.
    pub(super) fn retire(&mut self, entry: &(Key, Transitions), places: &Places<'_>) {
        let (key, Transitions { inode, counts }) = entry;
        self.unknown_since.remove(key);
        add(&mut self.removed, counts);
        if places.namespace(key.netns, *inode).is_some() {
            let retired = self.retired.entry((key.netns, *inode));
            add(retired.or_insert([0; SLOTS]), counts);
        }
    }

    /// Whether an entry waits for somebody to know it.
    pub(super) fn is_unknown(&self, key: &Key) -> bool {
        self.unknown_since.contains_key(key)
    }
}
