//! Transitions that loopback alone does not make: with a peer that answers as it is told.

use anyhow::Result;
use testkit::netns::Netns;
use testkit::peer::{Family, Peer, State};
use testkit::transitions::Counts;

/// What is done in a namespace so often; it gives all transitions that follow.
type Act = fn(&Netns, u64) -> Result<Counts>;

/// All of them.
pub(crate) const ALL: [(&str, Act); 2] = [
    ("both connect at once, and the peer resets", reset),
    ("both connect at once, and our end is closed", closed),
];

fn reset(netns: &Netns, count: u64) -> Result<Counts> {
    let peer = Peer::new(netns)?;
    peer.hold_many(Family::V4, State::SynRecvFull, usize::try_from(count)?)?
        .reset()?;
    Ok(Counts::from([
        (("close", "syn_sent"), count),
        (("syn_sent", "syn_recv"), count),
        (("syn_recv", "close"), count),
    ]))
}

fn closed(netns: &Netns, count: u64) -> Result<Counts> {
    let peer = Peer::new(netns)?;
    let mut held = peer.hold_many(Family::V6, State::SynRecvFull, usize::try_from(count)?)?;
    held.close();
    held.reset()?;
    Ok(Counts::from([
        (("close", "syn_sent"), count),
        (("syn_sent", "syn_recv"), count),
        (("syn_recv", "fin_wait1"), count),
        (("fin_wait1", "close"), count),
    ]))
}
