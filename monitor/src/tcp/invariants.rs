//! What must be true of a namespace's sockets if they were counted right: the kernel's files say
//! the same in other words.
//!
//! - ESTABLISHED and CLOSE_WAIT together are `CurrEstab` of snmp,
//! - full sockets (all but minisocks and requests) are `inuse` of sockstat's `TCP` and `TCP6`.
//!
//! Sockets come and go between the reads, so the files are read before and after, and what lies
//! between is no disagreement.

use super::StateCounts;

/// What the files say of one network namespace; `None` for what was not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `CurrEstab` of snmp.
    pub curr_estab: Option<u64>,
    /// `inuse` of the lines `TCP` of sockstat and `TCP6` of sockstat6 together.
    pub inuse: Option<u64>,
    /// `InSegs` and `OutSegs` of snmp: where they stand still, so do the sockets.
    pub segments: Option<(u64, u64)>,
}

impl Facts {
    /// By how many sockets `counts` cannot be what was there between two looks at the files.
    pub fn mismatch(counts: &StateCounts, before: &Self, after: &Self) -> u64 {
        distance(counts.curr_estab(), before.curr_estab, after.curr_estab)
            + distance(counts.full(), before.inuse, after.inuse)
    }

    /// Whether there is anything to compare with.
    pub fn is_some(&self) -> bool {
        self.curr_estab.is_some() || self.inuse.is_some()
    }

    /// Whether nothing moved between two looks: what disagrees then was counted wrong.
    pub fn is_still(before: &Self, after: &Self) -> bool {
        before.segments.is_some() && before == after
    }
}

/// How far a count is from the interval of two values.
fn distance(count: u64, one: Option<u64>, other: Option<u64>) -> u64 {
    match (one, other) {
        (Some(one), Some(other)) => {
            let nearest = count.clamp(one.min(other), one.max(other));
            count.abs_diff(nearest)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use monitor_ebpf::{Family, TcpState};

    use super::*;

    /// Seven established, two in CLOSE_WAIT, one listener; a request and minisocks beside them.
    fn counts() -> StateCounts {
        let mut counts = StateCounts::default();
        let states = [
            (Family::Ipv4, TcpState::Established as u8, 4),
            (Family::Ipv6, TcpState::Established as u8, 3),
            (Family::Ipv4, TcpState::CloseWait as u8, 2),
            (Family::Ipv6, TcpState::Listen as u8, 1),
            (Family::Ipv6, TcpState::REQUEST, 5),
            (Family::Ipv4, TcpState::TimeWait as u8, 6),
            (Family::Ipv4, TcpState::FIN_WAIT2_MINISOCK, 7),
        ];
        for (family, state, count) in states {
            (0..count).for_each(|_| counts.add(family, state));
        }
        counts
    }

    fn facts(curr_estab: u64, inuse: u64) -> Facts {
        Facts {
            curr_estab: Some(curr_estab),
            inuse: Some(inuse),
            segments: Some((1, 1)),
        }
    }

    #[test]
    fn minisocks_and_requests_are_no_full_sockets() {
        let counts = counts();
        assert_eq!((counts.full(), counts.curr_estab()), (10, 9));
        assert_eq!(counts.total(), 28);
        assert_eq!(counts.get(Family::Ipv6, TcpState::SynRecv), 5);
        assert_eq!(counts.get(Family::Ipv4, TcpState::FinWait2), 7);
        assert_eq!(counts.get(Family::Ipv4, TcpState::TimeWait), 6);
        let (still, moved) = (facts(9, 10), facts(12, 10));
        assert_eq!(Facts::mismatch(&counts, &still, &still), 0);
        assert!(Facts::is_still(&still, &still) && !Facts::is_still(&still, &moved));
    }

    #[test]
    fn what_lies_between_two_looks_is_no_mismatch() {
        let counts = counts();
        for (before, after, mismatch) in [
            (facts(8, 9), facts(11, 12), 0),
            (facts(11, 12), facts(8, 9), 0),
            (facts(10, 10), facts(11, 10), 1),
            (facts(9, 13), facts(9, 12), 2),
            (facts(1, 1), facts(2, 2), 7 + 8),
        ] {
            let seen = Facts::mismatch(&counts, &before, &after);
            assert_eq!(seen, mismatch, "{before:?} {after:?}");
        }
    }

    #[test]
    fn what_was_not_read_says_nothing() {
        let nothing = Facts::default();
        assert_eq!(Facts::mismatch(&counts(), &nothing, &facts(1, 1)), 0);
        assert!(!nothing.is_some() && !Facts::is_still(&nothing, &nothing));
    }
}
