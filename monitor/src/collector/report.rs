//! What a collection tells of itself: how each collector fared, and which sources are in use.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::time::{Duration, Instant};

use tracing::warn;

use super::TCP_STATES;
use crate::discovery::{SourceState, SourceStatus};
use crate::metrics::own::{CollectorStatus, DiscoveryStatus, EbpfStatus, OwnStatus, TcpLookStatus};
use crate::netns::Placement;
use crate::sampler::counters::{CounterSamples, CountersSource};
use crate::sampler::namespace::FileOutcome;
use crate::sampler::tcp_states::{TcpStateSampler, TcpStatesSource};
use crate::sampler::transitions::TransitionSample;

/// Name of the pass over the kernel's own counters.
pub(super) const COUNTERS: &str = "counters";

/// Failed samples since start, by collector.
#[derive(Debug, Default)]
pub(super) struct Errors(HashMap<&'static str, u64>);

impl Errors {
    /// Whether a collector has not failed yet: then it is worth a line in the log, and later ones
    /// are only counted.
    pub(super) fn is_first(&self, collector: &'static str) -> bool {
        self.0.get(collector).is_none_or(|errors| *errors == 0)
    }

    /// A collector's row, with the errors of this collection added to those before.
    pub(super) fn row(
        &mut self,
        name: &'static str,
        success: bool,
        duration: Duration,
        errors: u64,
    ) -> CollectorStatus {
        let sum = self.0.entry(name).or_default();
        *sum += errors;
        CollectorStatus {
            name,
            success,
            duration,
            errors: *sum,
        }
    }
}

/// The files of `count` namespaces, and the pass that takes the place of some; `was_kernel` says
/// whether there was to be one.
pub(super) fn counters(
    samples: &CounterSamples,
    count: u64,
    was_kernel: bool,
    errors: &mut Errors,
    status: &mut OwnStatus,
) {
    for &(file, outcome) in &samples.namespaces.files {
        let FileOutcome {
            duration,
            errors: failed,
        } = outcome;
        // One container that fails is an error; the collector has failed when all do.
        let success = failed == 0 || failed < count;
        let row = errors.row(file.name(), success, duration, failed);
        status.collectors.push(row);
    }
    if was_kernel {
        let success = samples.error.is_none();
        let row = errors.row(COUNTERS, success, samples.duration, u64::from(!success));
        status.collectors.push(row);
    }
}

/// Where the namespaces' counters come from.
pub(super) fn counters_source(source: CountersSource, status: &mut OwnStatus) {
    status.counters_sources = CountersSource::ALL
        .map(|known| (known.as_str(), known == source))
        .to_vec();
}

/// How the look at the sockets fared that was made since `start`; `None` where none was due.
pub(super) fn look(
    sampler: &TcpStateSampler,
    looked: Option<io::Result<()>>,
    start: Instant,
    errors: &mut Errors,
    status: &mut OwnStatus,
) {
    let failed = match looked {
        Some(Ok(())) => sampler.last().map_or(0, |look| look.errors),
        Some(Err(error)) => {
            if errors.is_first(TCP_STATES) {
                warn!(%error, "cannot look at the sockets");
            }
            1
        }
        None => 0,
    };
    let success = sampler.last().is_some();
    let took = sampler.last().filter(|look| look.taken >= start);
    let took = took.map(|look| look.duration).unwrap_or_default();
    let row = errors.row(TCP_STATES, success, took, failed);
    status.collectors.push(row);
}

/// Where the sockets' states come from, and how the last look fared.
pub(super) fn tcp_states(sampler: &TcpStateSampler, status: &mut OwnStatus) {
    let source = sampler.source();
    status.tcp_states_sources = TcpStatesSource::ALL
        .map(|known| (known.as_str(), known == source))
        .to_vec();
    status.tcp_looks = (source != TcpStatesSource::Off).then_some(sampler.looks);
    let last = sampler.last();
    status.host_network_namespaces = status
        .host_network_namespaces
        .or_else(|| last.and_then(|look| look.namespaces));
    status.tcp_look = last.map(|look| TcpLookStatus {
        mismatch: look.mismatch,
        age: look.taken.elapsed(),
        duration: look.duration,
        longest_slice: (!look.longest_slice.is_zero()).then_some(look.longest_slice),
        sockets: look.sockets,
        folded: look.folded,
    });
}

/// How the attached program fares; nothing of what could not be read.
pub(super) fn ebpf(sample: Option<&TransitionSample<'_>>) -> EbpfStatus {
    EbpfStatus {
        events: sample.map(|sample| sample.events),
        missed_events: sample.and_then(|sample| sample.missed),
        map_entries: sample.map(|sample| sample.entries),
        map_full: sample.map(|sample| sample.map_full),
        unlisted: sample.map(|sample| sample.unlisted),
    }
}

/// What the runtimes say, and the scan of `/proc` where it was made. Sources of one label are one
/// row: up when all are that are there, of those that were asked for at least one.
pub(super) fn discovery(
    runtimes: &[SourceStatus],
    scan: Option<(&'static str, bool)>,
) -> Vec<DiscoveryStatus> {
    let mut rows: Vec<DiscoveryStatus> = Vec::new();
    let shown = |source: &&SourceStatus| source.state != SourceState::Absent;
    for source in runtimes.iter().filter(shown) {
        let same = |other: &SourceStatus| other.runtime == source.runtime;
        let alike = || runtimes.iter().filter(|other| same(other));
        let mut there = alike()
            .map(|other| other.state)
            .filter(|state| !matches!(state, SourceState::Absent | SourceState::Missing))
            .peekable();
        if rows.iter().all(|row| row.runtime != source.runtime) {
            rows.push(DiscoveryStatus {
                runtime: source.runtime,
                up: there.peek().is_some() && there.all(|state| state == SourceState::Up),
                events: alike().map(|other| other.events).sum(),
            });
        }
    }
    rows.extend(scan.map(|(runtime, up)| DiscoveryStatus {
        runtime,
        up,
        events: 0,
    }));
    rows
}

/// How many containers of each runtime there are.
pub(super) fn count_by_runtime(placement: &Placement) -> Vec<(&'static str, u64)> {
    let members = placement
        .namespaces
        .iter()
        .flat_map(|namespace| &namespace.members);
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for container in members.chain(&placement.host_network) {
        *counts.entry(container.runtime.as_str()).or_default() += 1;
    }
    counts.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::discovery;
    use crate::discovery::SourceState::{Absent, Down, Missing, Starting, Up};
    use crate::discovery::{SourceState, SourceStatus};

    fn rows(sources: &[(&'static str, SourceState)]) -> Vec<(&'static str, bool, u64)> {
        let sources: Vec<SourceStatus> = sources
            .iter()
            .map(|&(runtime, state)| SourceStatus {
                runtime,
                state,
                answered: false,
                events: 3,
            })
            .collect();
        let rows = discovery(&sources, None);
        rows.iter()
            .map(|row| (row.runtime, row.up, row.events))
            .collect()
    }

    #[test]
    fn sources_of_one_label_are_one_row() {
        for (states, up) in [
            ([Up, Up], true),
            ([Up, Absent], true),
            ([Missing, Up], true),
            ([Up, Down], false),
            ([Starting, Up], false),
            ([Missing, Missing], false),
        ] {
            let sources = [("docker", Up), ("cri", states[0]), ("cri", states[1])];
            assert_eq!(
                rows(&sources),
                [("docker", true, 3), ("cri", up, 6)],
                "{states:?}"
            );
        }
    }

    #[test]
    fn what_is_only_looked_for_and_not_there_has_no_row() {
        assert_eq!(rows(&[("docker", Absent), ("cri", Absent)]), []);
        assert_eq!(rows(&[]), []);
    }
}
