//! Whether the kernel's own counters are what the files say: pure.
//!
//! A file is read before the pass and after it. A counter only grows, so what the pass saw must lie
//! between; whatever moved meanwhile, this holds. A gauge must be the same where nothing moved.

use std::fmt;

use crate::metrics::schema::SlotSource;
use crate::metrics::{Counters, Kind};
use crate::procfs::Number;

/// A counter that cannot be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disagreement {
    field: String,
    before: Option<Number>,
    kernel: Option<Number>,
    after: Option<Number>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: Option<Number>| match value {
            Some(Number::Unsigned(value)) => value.to_string(),
            Some(Number::Negative(value)) => value.to_string(),
            None => "nothing".to_owned(),
        };
        write!(
            out,
            "{} is {}, and the file said {} before and {} after",
            self.field,
            shown(self.kernel),
            shown(self.before),
            shown(self.after)
        )
    }
}

/// The first of `compared` that cannot be right: slots, and where each stands in a file.
pub(super) fn disagreement(
    sources: &[SlotSource],
    compared: &[usize],
    before: &Counters,
    kernel: &Counters,
    after: &Counters,
) -> Option<Disagreement> {
    let quiet = compared
        .iter()
        .all(|&slot| before.get(slot) == after.get(slot));
    compared.iter().find_map(|&slot| {
        let source = &sources[slot];
        let (first, seen, last) = (before.get(slot), kernel.get(slot), after.get(slot));
        let agrees = match (first.map(value), seen.map(value), last.map(value)) {
            (Some(first), Some(seen), Some(last)) if source.kind == Kind::Counter => {
                first <= seen && seen <= last
            }
            (first, seen, last) if source.kind == Kind::Gauge => {
                !quiet || (first == seen && seen == last)
            }
            // A counter that is not everywhere.
            _ => false,
        };
        (!agrees).then(|| Disagreement {
            field: format!("{} {}", source.group, source.field),
            before: first,
            kernel: seen,
            after: last,
        })
    })
}

fn value(number: Number) -> i128 {
    match number {
        Number::Unsigned(value) => value.into(),
        Number::Negative(value) => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{CounterFile, Schema};

    const COUNTER: &str = "ActiveOpens";
    const GAUGE: &str = "CurrEstab";

    /// What is found of a counter and a gauge, before, by the pass and after.
    fn found(counter: [Option<u64>; 3], gauge: [Option<u64>; 3]) -> Option<String> {
        let schema = Schema::new();
        let slot = |field| schema.slot(CounterFile::Snmp, "Tcp", field).unwrap();
        let slots = [slot(COUNTER), slot(GAUGE)];
        let [before, kernel, after] = [0, 1, 2].map(|at| {
            let mut counters = schema.counters();
            counters.set(slots[0], counter[at].map(Number::Unsigned));
            counters.set(slots[1], gauge[at].map(Number::Unsigned));
            counters
        });
        disagreement(schema.slots(), &slots, &before, &kernel, &after)
            .map(|disagreement| disagreement.to_string())
    }

    #[test]
    fn what_moved_meanwhile_is_no_disagreement() {
        assert_eq!(found([Some(5); 3], [Some(2); 3]), None);
        for seen in 5..=7 {
            let counter = [Some(5), Some(seen), Some(7)];
            assert_eq!(found(counter, [Some(2), Some(9), Some(3)]), None, "{seen}");
        }
    }

    #[test]
    fn what_cannot_be_is_one() {
        for seen in [4, 8] {
            let text = found([Some(5), Some(seen), Some(7)], [Some(2); 3]).unwrap();
            assert_eq!(
                text,
                format!("Tcp ActiveOpens is {seen}, and the file said 5 before and 7 after")
            );
        }
        let quiet = [Some(5); 3];
        let text = found(quiet, [Some(2), Some(3), Some(2)]).unwrap();
        assert!(text.starts_with("Tcp CurrEstab is 3"), "{text}");
        let text = found([Some(5), None, Some(5)], [Some(2); 3]).unwrap();
        assert!(text.contains("is nothing"), "{text}");
        assert!(found([None, Some(5), None], [Some(2); 3]).is_some());
    }
}
