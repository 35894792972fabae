//! The random workload: bounded, the same for a seed, through every state and quiet in between.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::chaos::{Chaos, MOST};
use testkit::netns::Netns;
use testkit::{require, ss};

/// Far beyond what a call takes, on a machine that is busy with other tests.
const HANGS: Duration = Duration::from_secs(5);

/// Steps in the namespace: gives what `ss` counts 2 ms later, and whether it is so twice.
fn steps(chaos: &mut Chaos, netns: &Netns, count: usize) -> Result<(ss::States, bool)> {
    let start = Instant::now();
    netns.enter(|| chaos.steps(count))?;
    let took = start.elapsed();
    ensure!(took < HANGS, "{:?} took {took:?}", chaos.last());
    ensure!(chaos.open() <= MOST, "{} are open", chaos.open());
    std::thread::sleep(Duration::from_millis(2));
    let states = ss::states(netns.pid())?;
    let quiet = states == ss::states(netns.pid())?;
    Ok((states, quiet))
}

#[test]
fn goes_through_every_state_and_is_quiet_in_between() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    let netns = Netns::new("kit-chaos")?;
    let mut chaos = Chaos::new(1);
    let (mut seen, mut quiet, rounds) = (BTreeSet::new(), 0, 200);
    for _ in 0..rounds {
        let (states, is_quiet) = steps(&mut chaos, &netns, 8)?;
        seen.extend(states.into_keys());
        quiet += usize::from(is_quiet);
    }
    // All ten, but LAST_ACK and CLOSING, which are rare, perhaps in one family only.
    let rare = ["closing", "last_ack"];
    let (rare, often): (Vec<_>, Vec<_>) = seen.iter().partition(|(_, s)| rare.contains(s));
    assert_eq!(often.len(), 2 * 8, "{seen:?}");
    let rare: BTreeSet<_> = rare.iter().map(|(_, state)| state).collect();
    assert_eq!(rare.len(), 2, "{seen:?}");
    // What is not is the kernel's timers' doing, or that of a busy machine.
    assert!(quiet * 10 >= rounds * 8, "{quiet} of {rounds}");
    assert_eq!(chaos.done().len(), 15, "{:?}", chaos.done());
    assert_eq!(chaos.done().values().sum::<u64>(), 8 * rounds as u64);

    // What it has open is all that has a process.
    let with_inode = ss::run(netns.pid(), &["-H", "-t", "-a", "-n", "-e"])?;
    let owned = |line: &&str| line.contains(" ino:") && !line.contains(" ino:0 ");
    let unaccepted: u64 = ss::listeners(netns.pid())?.iter().map(|l| l.2).sum();
    let owned = with_inode.lines().filter(owned).count();
    assert!(owned <= chaos.open(), "{owned} of {}", chaos.open());
    assert!(unaccepted > 0 && owned > 0);
    drop(chaos);
    assert_eq!(ss::listeners(netns.pid())?, []);
    Ok(())
}

#[test]
fn a_seed_means_the_same_actions() -> Result<()> {
    testkit::require!(require::root());
    let actions = |seed: u64| {
        let netns = Netns::new("kit-chaos-seed")?;
        let mut chaos = Chaos::new(seed);
        netns.enter(|| chaos.steps(40))?;
        let mut actions = chaos.last().to_vec();
        netns.enter(|| chaos.steps(60))?;
        actions.extend(chaos.last());
        Ok::<_, anyhow::Error>(actions)
    };
    let first = actions(7)?;
    assert_eq!(first.len(), 100);
    assert_eq!(actions(7)?, first);
    assert_ne!(actions(8)?, first);
    Ok(())
}

#[test]
fn many_at_once_stay_within_bounds() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    let run = |seed| -> Result<ss::States> {
        let netns = Netns::new("kit-chaos-many")?;
        let mut chaos = Chaos::new(seed);
        let mut last = ss::States::new();
        for _ in 0..20 {
            (last, _) = steps(&mut chaos, &netns, 20)?;
        }
        Ok(last)
    };
    let ends: Vec<ss::States> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20).map(|seed| scope.spawn(move || run(seed))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().ok();
        let ends = threads.into_iter().map(|t| join(t).context("it panicked")?);
        ends.collect::<Result<_>>()
    })?;
    // Twenty different ends.
    let different: BTreeSet<_> = ends.iter().map(|end| format!("{end:?}")).collect();
    assert_eq!(different.len(), 20);
    Ok(())
}

#[test]
fn belongs_to_one_namespace() -> Result<()> {
    testkit::require!(require::root());
    let (one, other) = (Netns::new("kit-chaos-one")?, Netns::new("kit-chaos-two")?);
    let mut chaos = Chaos::new(3);
    one.enter(|| chaos.steps(5))?;
    let error = other.enter(|| chaos.steps(5)).unwrap_err();
    assert!(error.to_string().contains("before"), "{error}");
    one.enter(|| chaos.steps(5))
}
