//! The eBPF program on the running kernel: how it is loaded and attached, what it counts, under
//! whose name, and what happens where it cannot be had.
//!
//! On some virtual machines, events that happen while a thread
//! of process 1 is current reach no eBPF program, and the kernel skips runs that interrupt one
//! another. So no count is demanded exactly, only within one in a hundred.

mod attribution;
mod limits;
mod load;
mod without;

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::transitions::Pair;

/// How long something may take that is the kernel's or a child's to do.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The family that is tested here.
pub(crate) const TRANSITIONS: &str = "container_network_tcp_transitions_total";

/// Starts the monitor with the program.
pub(crate) fn monitor(more: &[&str]) -> Result<Monitor> {
    let args = ["serve", "--discovery", "cgroup", "--require-ebpf"];
    Monitor::start(
        env!("CARGO_BIN_EXE_container-monitor"),
        &[&args, more].concat(),
    )
}

/// How much a count may differ from the expected one: one in a hundred and never less than one.
pub(crate) fn slack(expected: u64) -> u64 {
    expected.div_ceil(100)
}

/// Whether a count is the expected one, as nearly as can be demanded.
pub(crate) fn close_to(seen: u64, expected: u64) -> bool {
    seen.abs_diff(expected) <= slack(expected)
}

/// Demands that the container's transitions are these, and no others.
pub(crate) fn expect(metrics: &Metrics, container: &str, expected: &[(Pair, u64)]) -> Result<()> {
    let series = metrics.matching(TRANSITIONS, &[("container", container)]);
    for sample in &series {
        let label = |name| sample.labels.get(name).map(String::as_str);
        let pair = (label("old_state"), label("new_state"));
        let known = |((old, new), _): &&(Pair, u64)| pair == (Some(old), Some(new));
        let count = expected.iter().find(known).map_or(0, |(_, count)| *count);
        let seen = sample.value as u64;
        ensure!(
            count > 0 && close_to(seen, count),
            "{container}: {pair:?} is {seen}, expected {count}"
        );
    }
    let enough = series.len() == expected.len();
    ensure!(enough, "{container}: {series:?}, expected {expected:?}");
    Ok(())
}
