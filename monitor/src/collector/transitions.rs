//! The transitions of one collection.

use std::time::Instant;

use tracing::warn;

use super::report::{self, Errors};
use crate::cgroups::Cgroups;
use crate::metrics::own::OwnStatus;
use crate::netns::Placement;
use crate::sampler::places::HostNamespace;
use crate::sampler::transitions::{TransitionSample, TransitionSampler};

/// Name of the collector of TCP state transitions.
pub const TRANSITIONS: &str = "transitions";

/// Reads the map of transitions, where it can be had.
pub(super) fn sample<'a>(
    sampler: &mut Option<TransitionSampler>,
    placement: &'a Placement,
    host: HostNamespace,
    cgroups: &mut Cgroups,
    errors: &mut Errors,
    status: &mut OwnStatus,
) -> Option<TransitionSample<'a>> {
    let start = Instant::now();
    let result = sampler
        .as_mut()
        .map(|sampler| sampler.sample(placement, host, cgroups));
    status.ebpf = result
        .as_ref()
        .map(|result| report::ebpf(result.as_ref().ok()));
    let failed = matches!(result, Some(Err(_)));
    let sample = result.and_then(|result| {
        result
            .inspect_err(|error| {
                if errors.is_first(TRANSITIONS) {
                    warn!(%error, "cannot read the transition map");
                }
            })
            .ok()
    });
    let row = errors.row(
        TRANSITIONS,
        sample.is_some(),
        start.elapsed(),
        u64::from(failed),
    );
    status.collectors.push(row);
    sample
}
