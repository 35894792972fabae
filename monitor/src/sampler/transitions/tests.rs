//! Whom counts are given to, and what is kept of keys that are no more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use monitor_ebpf::{Key, SLOTS, Transitions};

use super::Counts;
use super::ledger::Ledger;
use crate::cgroups::Cgroups;
use crate::netns::Placement;
use crate::sampler::places::{HostNamespace, Places, Tally};
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
        ..Placement::default()
    }
}

/// The counts by container name; the host's under `/`.
fn by_name(tally: &Tally<'_, Counts>) -> BTreeMap<String, u64> {
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
        // No container's cgroup, one that is gone, and one of a container that nobody knows yet.
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
        ("owner", 1 + 4 + 8),
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
        ledger.retire(&map.remove(place), &places, cgroups);
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
fn what_stood_under_a_container_is_not_counted_again_under_the_owner() {
    let cgroups = Cgroups::known(&[(12, Some("bb"))]);
    let gone = Cgroups::known(&[(10, None)]);
    let mut without = placement();
    without.namespaces[0].members.truncate(1);
    let mut map = vec![entry(1002, 2, 12, 5)];
    let mut ledger = Ledger::default();
    let start = Instant::now();
    let mut at = |seconds: u64, placement: &Placement, cgroups: &Cgroups, map: &mut Vec<_>| {
        let now = start + Duration::from_secs(seconds);
        step(&mut ledger, map, placement, cgroups, now).0
    };
    let joined = named([("joined", 5)]);
    assert_eq!(at(0, &placement(), &cgroups, &mut map), joined);
    // The container that had joined ends; two of its sockets are closed after that.
    let owner = |count| named([("owner", count)]);
    assert_eq!(at(1, &without, &cgroups, &mut map), owner(0));
    map[0] = entry(1002, 2, 12, 7);
    for seconds in [2, 121, 122, 123] {
        assert_eq!(at(seconds, &without, &gone, &mut map), owner(2));
    }
    assert!(map.is_empty());
}

#[test]
fn a_container_that_nobody_told_of_yet_is_waited_for() {
    let cgroups = Cgroups::known(&[(12, Some("bb"))]);
    let mut without = placement();
    without.namespaces[0].members.truncate(1);
    let mut map = vec![entry(1002, 2, 12, 5)];
    let mut ledger = Ledger::default();
    let start = Instant::now();
    let mut at = |seconds: u64, placement: &Placement, map: &mut Vec<_>| {
        let now = start + Duration::from_secs(seconds);
        step(&mut ledger, map, placement, &cgroups, now).0
    };
    assert_eq!(at(0, &without, &mut map), named([]));
    assert_eq!(at(1, &placement(), &mut map), named([("joined", 5)]));
    // Of one that nobody ever tells of, the owner gets it in the end.
    map = vec![entry(1002, 2, 12, 9)];
    let mut ledger = Ledger::default();
    for (seconds, expected) in [
        (0, named([])),
        (120, named([])),
        (121, named([("owner", 9)])),
    ] {
        let now = start + Duration::from_secs(seconds);
        let seen = step(&mut ledger, &mut map, &without, &cgroups, now).0;
        assert_eq!(seen, expected, "after {seconds} s");
    }
}

#[test]
fn entries_of_namespaces_that_ended_go_and_their_counts_stay_with_the_container() {
    let cgroups = Cgroups::known(&[(11, Some("aa"))]);
    let mut map = vec![entry(1009, 9, 11, 5)];
    let mut ledger = Ledger::default();
    let start = Instant::now();
    let mut at = |seconds: u64, map: &mut Vec<_>| {
        let now = start + Duration::from_secs(seconds);
        step(&mut ledger, map, &placement(), &cgroups, now).0
    };
    for seconds in [0, 119, 120, 121] {
        assert_eq!(at(seconds, &mut map), named([("owner", 5)]));
    }
    assert!(map.is_empty());
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
