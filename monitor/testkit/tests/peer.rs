//! Sockets of every state and family, held by the peer and counted by `ss`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use testkit::netns::Netns;
use testkit::peer::{Family, Peer, State};
use testkit::{require, ss};

/// Sums of what several have.
fn add(to: &mut ss::States, more: &ss::States) {
    for (key, count) in more {
        *to.entry(*key).or_default() += count;
    }
}

#[test]
fn each_state_in_each_family_is_what_ss_counts() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"), require::tun());
    let netns = Netns::new("kit-peer-each")?;
    let peer = Peer::new(&netns)?;
    let mut labels = BTreeSet::new();
    for (number, (family, state)) in all().enumerate() {
        let count = 1 + number % 3;
        let held = peer.hold_many(family, state, count)?;
        let mut expected = ss::States::from([((family.label(), state.label()), count as u64)]);
        if state == State::SynRecv {
            expected.insert((family.label(), "listen"), 1);
        }
        assert_eq!(ss::states(netns.pid())?, expected, "{family:?} {state:?}");
        assert_eq!(held.states(), expected);
        labels.insert((family.label(), state.label()));
        // The peer resets them: nothing is left, and nothing can be mistaken for the next ones.
        held.reset()?;
        assert_eq!(ss::states(netns.pid())?, ss::States::new(), "{state:?}");
    }
    assert_eq!(labels.len(), 2 * 10, "{labels:?}");
    Ok(())
}

#[test]
fn all_states_at_once_stay_as_they_are() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"), require::tun());
    let netns = Netns::new("kit-peer-all")?;
    let peer = Peer::new(&netns)?;
    let mut held = Vec::new();
    let mut expected = ss::States::new();
    for (number, (family, state)) in all().enumerate() {
        let one = peer.hold_many(family, state, 1 + number % 3)?;
        add(&mut expected, &one.states());
        held.push(one);
    }
    let start = Instant::now();
    // Longer than the kernel waits before it sends the first of everything again.
    while start.elapsed() < Duration::from_secs(4) {
        assert_eq!(ss::states(netns.pid())?, expected);
        std::thread::sleep(Duration::from_millis(200));
    }
    // Dropped they are gone, with all that they left in the kernel.
    drop(held);
    assert_eq!(ss::states(netns.pid())?, ss::States::new());
    Ok(())
}

/// Which entries are minisocks, and which are sockets that a process still has.
#[test]
fn the_kinds_of_entries_are_what_they_should_be() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"), require::tun());
    let netns = Netns::new("kit-peer-kinds")?;
    let peer = Peer::new(&netns)?;
    for (family, state) in all() {
        let held = peer.hold(family, state)?;
        let name = format!("{family:?} {state:?}");
        let text = ss::run(netns.pid(), &["-H", "-t", "-a", "-n", "-o", "-e"])?;
        let is_of_it = |line: &&str| state == State::Listen || !line.starts_with("LISTEN");
        let line = text.lines().find(is_of_it).unwrap_or_default();
        let minisock = line.contains("timer:(timewait");
        let waits = [State::FinWait2Closed, State::TimeWait].contains(&state);
        assert_eq!(minisock, waits, "{name}: {line}");
        // What nobody has any more has no inode number; nor has a request.
        let open = line.contains(" ino:") && !line.contains(" ino:0 ");
        assert_eq!(open, held.sockets().len() == 1, "{name}: {line}");
    }
    Ok(())
}

#[test]
fn more_requests_than_a_listener_may_have() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"), require::tun());
    let netns = Netns::new("kit-peer-many")?;
    let peer = Peer::new(&netns)?;
    let held = peer.hold_many(Family::V4, State::SynRecv, 250)?;
    let expected = [(("ipv4", "listen"), 3), (("ipv4", "syn_recv"), 250)];
    assert_eq!(held.states(), ss::States::from(expected));
    assert_eq!(ss::states(netns.pid())?, held.states());
    assert_eq!((held.count(), held.sockets().len()), (250, 0));
    Ok(())
}

#[test]
fn enables_ipv6_and_can_be_made_again() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"), require::tun());
    let netns = Netns::new("kit-peer-ipv6")?;
    netns.enter(|| {
        Ok(std::fs::write(
            "/proc/sys/net/ipv6/conf/all/disable_ipv6",
            "1",
        )?)
    })?;
    for _ in 0..2 {
        let peer = Peer::new(&netns)?;
        assert!(Peer::new(&netns).is_err(), "there is one already");
        let held = peer.hold(Family::V6, State::Established)?;
        assert_eq!(ss::states(netns.pid())?, held.states());
    }
    Ok(())
}

/// Every state in every family.
fn all() -> impl Iterator<Item = (Family, State)> {
    let each = |family| State::ALL.map(|state| (family, state));
    Family::ALL.into_iter().flat_map(each)
}
