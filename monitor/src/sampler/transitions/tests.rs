//! Whom counts are given to, and what is kept of keys that are no more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use monitor_ebpf::{Key, SLOTS, Transitions};

use super::ledger::Ledger;
use super::places::{Places, Tally};
use super::{Counts, HostNamespace};
use crate::cgroups::Cgroups;
use crate::netns::Placement;
use crate::testing::{container, namespace};

const HOST: HostNamespace = HostNamespace {
    inode: 1,
    cookie: Some(1001),
};
const KEEP: Duration = Duration::from_secs(120);

/// Counts of one slot.
fn counts(count: u64) -> Counts {
    let mut counts = [0; SLOTS];
    counts[3] = count;
    counts
}

fn entry(netns: u64, inode: u64, cgroup: u64, count: u64) -> (Key, Transitions) {
    let counts = counts(count);
    (Key { netns, cgroup }, Transitions { inode, counts })
}

/// Two containers in namespace 2, one without an id in namespace 3, one in the host's.
fn placement() -> Placement {
    Placement {
        namespaces: vec![
            namespace(
                2,
                Some(1002),
                vec![container("aa", "owner"), container("bb", "joined")],
            ),
            namespace(3, Some(1003), vec![container("", "process")]),
        ],
        host_inode: HOST.inode,
        host_network: vec![container("cc", "agent")],
        errors: 0,
    }
}

/// The counts by container name; the host's under `/`.
fn by_name(tally: &Tally<'_>) -> BTreeMap<String, u64> {
    let containers = tally.containers.values();
    let mut named: BTreeMap<String, u64> = containers
        .map(|(container, counts)| (container.name.clone(), counts[3]))
        .collect();
    if tally.host != [0; SLOTS] {
        named.insert("/".to_owned(), tally.host[3]);
    }
    named
}

fn named<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    expected
        .map(|(name, count)| (name.to_owned(), count))
        .into()
}

#[test]
fn a_count_is_its_cgroup_s_container_s_else_the_owner_s() {
    let placement = placement();
    let places = Places::new(&placement, HOST, true);
    let cgroups = Cgroups::known(&[
        (10, None),
        (11, Some("aa")),
        (12, Some("bb")),
        (13, Some("cc")),
        (14, Some("unknown")),
    ]);
    let entries = [
        entry(1002, 2, 11, 1),
        entry(1002, 2, 12, 2),
        // No container's cgroup, one that is gone, and one of a container that nobody knows.
        entry(1002, 2, 10, 4),
        entry(1002, 2, 99, 8),
        entry(1002, 2, 14, 16),
        entry(1003, 3, 10, 32),
        entry(1001, 1, 10, 64),
        entry(1001, 1, 13, 128),
        // A container's process in a namespace of its own that nobody knows.
        entry(1009, 9, 12, 256),
        // Nobody's.
        entry(1009, 9, 10, 512),
        // Another namespace, which had the same inode number.
        entry(1000, 2, 10, 1024),
    ];
    let mut ledger = Ledger::default();
    let account = ledger.account(&entries, &places, &cgroups, Instant::now(), KEEP);
    let expected = [
        ("owner", 1 + 4 + 8 + 16),
        ("joined", 2 + 256),
        ("process", 32),
        ("/", 64),
        ("agent", 128),
    ];
    assert_eq!(by_name(&account.tally), named(expected));
    assert_eq!(account.total[3], 2047);
    assert!(account.outdated.is_empty());
}

#[test]
fn without_cookies_the_inode_number_is_the_key() {
    let mut placement = placement();
    for namespace in &mut placement.namespaces {
        namespace.cookie = None;
    }
    let cgroups = Cgroups::known(&[(10, None)]);
    // The kernel gives none.
    let host = HostNamespace {
        cookie: None,
        ..HOST
    };
    let places = Places::new(&placement, host, false);
    let entries = [entry(2, 2, 10, 1), entry(1, 1, 10, 2), entry(7, 7, 10, 4)];
    let account = Ledger::default().account(&entries, &places, &cgroups, Instant::now(), KEEP);
    assert_eq!(by_name(&account.tally), named([("owner", 1), ("/", 2)]));

    // It gives them, and we may not ask for that of this namespace.
    let places = Places::new(&placement, HOST, true);
    let entries = [entry(1002, 2, 10, 1), entry(1001, 1, 10, 2)];
    let account = Ledger::default().account(&entries, &places, &cgroups, Instant::now(), KEEP);
    assert_eq!(by_name(&account.tally), named([("owner", 1), ("/", 2)]));
}

/// A step of the book: who has what, and what was removed.
fn step(
    ledger: &mut Ledger,
    map: &mut Vec<(Key, Transitions)>,
    placement: &Placement,
    cgroups: &Cgroups,
    now: Instant,
) -> (BTreeMap<String, u64>, u64) {
    let has_cookie = true;
    let places = Places::new(placement, HOST, has_cookie);
    let account = ledger.account(map, &places, cgroups, now, KEEP);
    let seen = (by_name(&account.tally), account.total[3]);
    // From the back, so that the places before stay what they are.
    for place in account.outdated.into_iter().rev() {
        ledger.retire(&map.remove(place), &places);
    }
    seen
}

#[test]
fn what_a_cgroup_counted_outlives_it_and_its_entry() {
    for asked in [true, false] {
        let mut placement = placement();
        if !asked {
            placement.namespaces[0].cookie = None;
        }
        let cgroups = Cgroups::known(&[(11, Some("aa"))]);
        let mut map = vec![entry(1002, 2, 11, 5), entry(1002, 2, 99, 7)];
        let mut ledger = Ledger::default();
        let start = Instant::now();
        let expected = (named([("owner", 12)]), 12);
        let mut at = |seconds: u64, map: &mut Vec<_>| {
            let now = start + Duration::from_secs(seconds);
            step(&mut ledger, map, &placement, &cgroups, now)
        };
        // The same sum before, while and after the entry goes: counters never jump.
        assert_eq!(at(0, &mut map), expected);
        assert_eq!(at(119, &mut map), expected);
        assert_eq!(map.len(), 2);
        assert_eq!(at(120, &mut map), expected);
        assert_eq!(map.len(), 1, "it was not outdated");
        assert_eq!(at(121, &mut map), expected);
        // The key may come again, under another cgroup of the same number.
        map.push(entry(1002, 2, 99, 1));
        assert_eq!(at(122, &mut map), (named([("owner", 13)]), 13));
    }
}

#[test]
fn what_is_known_again_starts_waiting_anew() {
    let cgroups = Cgroups::known(&[(10, None)]);
    let known = Placement {
        namespaces: vec![namespace(9, Some(1009), vec![container("", "late")])],
        host_inode: HOST.inode,
        ..Placement::default()
    };
    let mut map = vec![entry(1009, 9, 10, 3)];
    let mut ledger = Ledger::default();
    let start = Instant::now();
    let mut at = |seconds: u64, placement: &Placement, map: &mut Vec<_>| {
        let now = start + Duration::from_secs(seconds);
        step(&mut ledger, map, placement, &cgroups, now).0
    };
    assert_eq!(at(0, &placement(), &mut map), named([]));
    assert_eq!(at(60, &known, &mut map), named([("late", 3)]));
    assert_eq!(at(130, &placement(), &mut map), named([]));
    assert_eq!(at(249, &placement(), &mut map), named([]));
    assert_eq!(map.len(), 1);
    assert_eq!(at(250, &placement(), &mut map), named([]));
    assert!(map.is_empty());
}

#[test]
fn a_dead_namespace_leaves_its_sum_alone() {
    let cgroups = Cgroups::known(&[(10, None)]);
    let mut map = vec![entry(1009, 9, 10, 3), entry(1002, 2, 99, 4)];
    let mut ledger = Ledger::default();
    let start = Instant::now();
    step(&mut ledger, &mut map, &placement(), &cgroups, start);
    step(&mut ledger, &mut map, &placement(), &cgroups, start + KEEP);
    assert!(map.is_empty());
    // The namespace of the second one ends now: what was kept for it goes too.
    let none = Placement::default();
    let seen = step(&mut ledger, &mut map, &none, &cgroups, start + KEEP);
    assert_eq!(seen, (named([]), 7));
    let seen = step(&mut ledger, &mut map, &placement(), &cgroups, start + KEEP);
    assert_eq!(seen, (named([]), 7));
}
