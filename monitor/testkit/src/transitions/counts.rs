//! Counts of transitions: what steps make, and how they are compared.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

/// A state that was left and the one that was entered, as the metric labels name them.
pub type Pair = (&'static str, &'static str);

/// How often each pair was counted. What was not is not there.
pub type Counts = BTreeMap<Pair, u64>;

/// A listener, from its beginning to its end. It stays one when a child leaves it.
pub(super) const LISTENER: [Pair; 2] = [("close", "listen"), ("listen", "close")];
/// The beginning of a client's end.
pub(super) const CONNECTING: [Pair; 1] = [("close", "syn_sent")];
/// The end of one that has got nowhere.
pub(super) const IN_VAIN: [Pair; 1] = [("syn_sent", "close")];
/// A connection that is made, at both ends.
pub(super) const OPENED: [Pair; 4] = [
    ("close", "syn_sent"),
    ("syn_sent", "established"),
    ("listen", "syn_recv"),
    ("syn_recv", "established"),
];
/// One that is closed in order: the end that closes first, and the other one.
pub(super) const CLOSED: [Pair; 6] = [
    ("established", "fin_wait1"),
    ("fin_wait1", "fin_wait2"),
    ("fin_wait2", "close"),
    ("established", "close_wait"),
    ("close_wait", "last_ack"),
    ("last_ack", "close"),
];
/// The one end of a connection that connects to itself.
pub(super) const TO_ITSELF: [Pair; 2] = [("syn_sent", "syn_recv"), ("syn_recv", "established")];
/// An end that gets a FIN before its own was acknowledged.
pub(super) const CLOSED_AT_ONCE: [Pair; 3] = [
    ("established", "fin_wait1"),
    ("fin_wait1", "closing"),
    ("closing", "close"),
];
/// One end of a connection that is reset.
pub(super) const RESET: [Pair; 1] = [("established", "close")];
/// Both ends of one that is reset after one of them has closed.
pub(super) const HALF_CLOSED_AND_RESET: [Pair; 5] = [
    ("established", "fin_wait1"),
    ("fin_wait1", "fin_wait2"),
    ("fin_wait2", "close"),
    ("established", "close_wait"),
    ("close_wait", "close"),
];

/// What steps make, each as often as is said.
pub(super) fn sum(steps: &[(&[Pair], u64)]) -> Counts {
    let mut counts = Counts::new();
    for (pairs, count) in steps {
        for pair in *pairs {
            *counts.entry(*pair).or_default() += count;
        }
    }
    counts.retain(|_, count| *count > 0);
    counts
}

/// Connections to one listener that are opened and closed in order.
pub(super) fn opened_and_closed(count: u64) -> Counts {
    sum(&[(&LISTENER, 1), (&OPENED, count), (&CLOSED, count)])
}

/// Demands that `seen` is `expected`, within `slack`, with nothing else but `besides`.
pub(super) fn check(
    expected: &Counts,
    besides: &[Pair],
    seen: &Counts,
    slack: fn(u64) -> u64,
) -> Result<()> {
    let mut differs = Vec::new();
    for pair in seen.keys().chain(expected.keys()).collect::<BTreeSet<_>>() {
        let of = |counts: &Counts| counts.get(pair).copied().unwrap_or(0);
        let (seen, expected) = (of(seen), of(expected));
        if !besides.contains(pair) && seen.abs_diff(expected) > slack(expected) {
            let (old, new) = pair;
            differs.push(format!("{old} → {new} is {seen}, expected {expected}"));
        }
    }
    differs.extend(remaining(seen, slack));
    ensure!(differs.is_empty(), "{}", differs.join("; "));
    Ok(())
}

/// What speaks of sockets that have entered a state and not left it, or the other way around.
fn remaining(seen: &Counts, slack: fn(u64) -> u64) -> impl Iterator<Item = String> {
    let states: BTreeSet<_> = seen.keys().flat_map(|(old, new)| [*old, *new]).collect();
    states.into_iter().filter_map(move |state| {
        let total = |matches: fn(&Pair, &str) -> bool| -> u64 {
            let matching = seen.iter().filter(|(pair, _)| matches(pair, state));
            matching.map(|(_, count)| count).sum()
        };
        let entered = total(|(_, new), state| *new == state);
        let left = match state {
            // Every socket begins and ends there.
            "close" => return None,
            // A child that leaves it leaves a listener behind.
            "listen" => total(|(old, new), state| *old == state && *new == "close"),
            _ => total(|(old, _), state| *old == state),
        };
        let off = entered.abs_diff(left) > slack(entered + left);
        off.then(|| format!("{state} was entered {entered} times and left {left} times"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exactly(_: u64) -> u64 {
        0
    }

    fn one_in_a_hundred(count: u64) -> u64 {
        count.div_ceil(100)
    }

    #[test]
    fn adds_steps_up() {
        let counts = sum(&[(&RESET, 2), (&CLOSED, 0), (&[RESET[0], LISTENER[0]], 3)]);
        assert_eq!(counts, Counts::from([(RESET[0], 5), (LISTENER[0], 3)]));
    }

    #[test]
    fn demands_each_count_and_no_other_pair() {
        let expected = opened_and_closed(200);
        assert!(check(&expected, &[], &expected, exactly).is_ok());
        for pair in OPENED.into_iter().chain(CLOSED).chain(LISTENER) {
            for (by, within) in [(2, true), (3, false)] {
                let mut seen = expected.clone();
                seen.entry(pair)
                    .and_modify(|count| *count = count.saturating_sub(by));
                assert!(check(&expected, &[], &seen, exactly).is_err(), "{pair:?}");
                let lenient = check(&expected, &[], &seen, one_in_a_hundred);
                // One of one is never too few.
                let within = within || LISTENER.contains(&pair);
                assert_eq!(lenient.is_ok(), within, "{pair:?} by {by}");
            }
        }
        let mut seen = expected.clone();
        seen.extend(sum(&[(
            &[("close", "established"), ("established", "close")],
            1,
        )]));
        let error = check(&expected, &[], &seen, exactly)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("close → established is 1, expected 0"),
            "{error}"
        );
        let besides = [("close", "established"), ("established", "close")];
        assert!(check(&expected, &besides, &seen, exactly).is_ok());
    }

    #[test]
    fn demands_that_no_socket_remains() {
        let expected = sum(&[(&OPENED, 3)]);
        let error = check(&expected, &CLOSED, &expected, exactly).unwrap_err();
        let error = error.to_string();
        assert_eq!(error, "established was entered 6 times and left 0 times");
        let closed = sum(&[(&OPENED, 3), (&CLOSED, 3)]);
        assert!(check(&expected, &CLOSED, &closed, exactly).is_ok());
    }
}
