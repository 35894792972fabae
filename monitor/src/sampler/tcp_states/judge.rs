//! A look at the sockets compared with what the kernel's files say of each namespace.

use std::collections::HashMap;

use super::Look;
use crate::metrics::{CounterFile, Schema};
use crate::sampler::counters::NamedTarget;
use crate::sampler::facts::FactReader;
use crate::tcp::StateCounts;
use crate::tcp::invariants::Facts;

/// Sockets by namespace.
type Sums = HashMap<u64, StateCounts>;

/// Most namespaces whose files are read again in one collection because what they said before
/// does not fit.
const MOST: usize = 64;

/// Compares.
#[derive(Debug)]
pub(super) struct Judge {
    facts: FactReader,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// By how many sockets the look and the files disagree, over all namespaces; `None` where
    /// there was nothing to compare.
    pub(super) mismatch: Option<u64>,
    /// What shows that the look is wrong, and nothing has moved.
    pub(super) proof: Option<String>,
}

impl Judge {
    pub(super) fn new(schema: &Schema, files: &[CounterFile]) -> Self {
        Self {
            facts: FactReader::new(schema, files),
        }
    }

    /// Compares a look with what the files said before its end, and where that does not fit, with
    /// what they say now.
    pub(super) fn compare(
        &mut self,
        look: &Look,
        targets: &[NamedTarget<'_>],
        before: &[Option<Facts>],
    ) -> Verdict {
        let (mut by_key, mut by_inode) = (Sums::new(), Sums::new());
        for entry in &look.table.entries {
            *by_key.entry(entry.key.netns).or_default() += &entry.counts;
            *by_inode.entry(entry.inode).or_default() += &entry.counts;
        }
        let mut verdict = Verdict::default();
        let mut again = 0;
        for (target, before) in targets.iter().zip(before) {
            let Some(before) = before.filter(Facts::is_some) else {
                continue;
            };
            let inode = target.target.inode;
            let counts = match target.cookie.filter(|_| look.has_cookie) {
                Some(cookie) => by_key.get(&cookie),
                None => by_inode.get(&inode),
            };
            let counts = counts.copied().unwrap_or_default();
            let mut mismatch = Facts::mismatch(&counts, &before, &before);
            if mismatch > 0 && again < MOST {
                again += 1;
                let Some(after) = self.facts.read(target.target.process) else {
                    // It has ended: so did its sockets.
                    continue;
                };
                mismatch = Facts::mismatch(&counts, &before, &after);
                if mismatch > 0 && Facts::is_still(&before, &after) {
                    verdict.proof = Some(format!(
                        "in network namespace {inode} they show {} full sockets, {} of them \
                         established or in CLOSE_WAIT, and sockstat says {}, snmp {}",
                        counts.full(),
                        counts.curr_estab(),
                        shown(before.inuse),
                        shown(before.curr_estab),
                    ));
                }
            }
            *verdict.mismatch.get_or_insert(0) += mismatch;
        }
        verdict
    }
}

fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
}
