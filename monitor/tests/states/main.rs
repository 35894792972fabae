//! TCP sockets by state and accept queues, as the monitor publishes them, with `ss` as the judge:
//! the same numbers in both ways, the pass over the kernel's tables and sock_diag.

mod attribution;
mod churn;
mod fallbacks;
mod held;
mod pace;
mod queues;
mod quiet;

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::published::{self, Queues};
use testkit::ss;

pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_container-monitor");

/// How long something may take that is the kernel's or a child's to do.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const MISMATCH: &str = "container_monitor_tcp_mismatch_sockets";

/// The two ways to look at sockets.
pub(crate) const SOURCES: [&str; 2] = ["kernel", "sock_diag"];

/// Starts the monitor with one of them, and nothing shared between scrapes.
pub(crate) fn monitor(source: &str, more: &[&str]) -> Result<Monitor> {
    let source_flag = format!("--collector.tcp-states={source}");
    let args = [
        "serve",
        "--discovery",
        "cgroup",
        "--collector.tcp-states.min-interval=0s",
        &*source_flag,
    ];
    let monitor = Monitor::start(EXE, &[&args, more].concat())?;
    monitor.wait_ready()?;
    let in_use = monitor
        .metrics()?
        .value("container_monitor_tcp_states_source", &[("source", source)])?;
    ensure!(in_use == 1.0, "{source} is not used: {:?}", monitor.log());
    Ok(monitor)
}

/// The sockets of a namespace with one container.
pub(crate) fn states_in(metrics: &Metrics, netns: &Netns) -> Result<ss::States> {
    published::states(metrics, metrics.container_in(netns.inode())?)
}

/// A namespace's accept queues by `ss`.
pub(crate) fn queues_by_ss(netns: &Netns) -> Result<Queues> {
    let mut queues = Queues::new();
    for (port, family, length, limit) in ss::listeners(netns.pid())? {
        let key = (port.to_string(), family.to_owned());
        let queue = queues.entry(key).or_default();
        *queue = (queue.0 + length, queue.1 + limit);
    }
    Ok(queues)
}
