//! Every state in every family, held still by a peer that answers as it is told.

use anyhow::{Context, Result, ensure};
use testkit::netns::Netns;
use testkit::peer::{Family, Held, Peer, State};
use testkit::{require, ss};

use crate::{MISMATCH, SOON, SOURCES, monitor, states_in};

fn hold_all(peer: &Peer) -> Result<Vec<Held>> {
    let mut held = Vec::new();
    for (number, family) in Family::ALL.into_iter().enumerate() {
        for (more, state) in State::ALL.into_iter().enumerate() {
            // No two counts of neighbours are the same: a state in another's place shows.
            held.push(peer.hold_many(family, state, 1 + (number + more) % 3)?);
        }
    }
    Ok(held)
}

#[test]
fn each_state_in_each_family_is_counted_as_itself() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::tun(), require::program("ss"));
    let netns = Netns::new("st-held")?;
    let peer = Peer::new(&netns)?;
    let held = hold_all(&peer)?;
    let mut expected = ss::States::new();
    for (key, count) in held.iter().flat_map(Held::states) {
        *expected.entry(key).or_default() += count;
    }
    for source in SOURCES {
        let monitor = monitor(source, &[])?;
        let metrics = monitor.metrics()?;
        let seen = states_in(&metrics, &netns)?;
        ensure!(
            seen == expected,
            "{source}: {seen:?}, expected {expected:?}, by ss {:?}",
            ss::states(netns.pid())?
        );
        // Namespaces of other tests are in that sum, too, and may be busy.
        monitor.metrics_when(SOON, |metrics| {
            let mismatch = metrics.value(MISMATCH, &[])?;
            ensure!(mismatch == 0.0, "{source}: {mismatch}");
            Ok(())
        })?;
        monitor.stop()?;
    }
    let monitor = monitor("kernel", &[])?;
    for held in held {
        held.reset()?;
    }
    let seen = states_in(&monitor.metrics()?, &netns).context("after the reset")?;
    ensure!(seen.is_empty(), "left after the reset: {seen:?}");
    monitor.stop()?;
    Ok(())
}
