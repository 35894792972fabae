//! TCP sockets by state and accept queues, as the monitor publishes them, with `ss` as the judge:
//! the same numbers in both ways, the pass over the kernel's tables and sock_diag.

mod attribution;
mod churn;
mod fallbacks;
mod held;
mod pace;
mod queues;
mod quiet;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use monitor_ebpf::{Family, TcpState};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::ss;

pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_container-monitor");

/// How long something may take that is the kernel's or a child's to do.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const SOCKETS: &str = "container_network_tcp_sockets";
pub(crate) const QUEUE: &str = "container_network_tcp_accept_queue";
pub(crate) const LIMIT: &str = "container_network_tcp_accept_queue_limit";
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

/// A container's sockets, what there is none of left out, as `ss` is read.
pub(crate) fn states_of(metrics: &Metrics, container: &str) -> Result<ss::States> {
    let mut states = ss::States::new();
    let rows = metrics.matching(SOCKETS, &[("container", container)]);
    ensure!(
        rows.len() == 10 || rows.len() == 20,
        "{container}: {} rows",
        rows.len()
    );
    for family in Family::ALL {
        if family == Family::Ipv6 && rows.len() == 10 {
            continue;
        }
        for state in container_monitor::tcp::STATES {
            let names = (family.as_str(), TcpState::as_str(state));
            let labels = [
                ("container", container),
                ("family", names.0),
                ("state", names.1),
            ];
            let count = metrics.value(SOCKETS, &labels)? as u64;
            if count > 0 {
                states.insert(names, count);
            }
        }
    }
    Ok(states)
}

/// The sockets of a namespace with one container.
pub(crate) fn states_in(metrics: &Metrics, netns: &Netns) -> Result<ss::States> {
    states_of(metrics, metrics.container_in(netns.inode())?)
}

/// Length and limit of accept queues, by port and family.
pub(crate) type Queues = BTreeMap<(String, String), (u64, u64)>;

/// A container's accept queues.
pub(crate) fn queues_of(metrics: &Metrics, container: &str) -> Result<Queues> {
    let mut queues = Queues::new();
    for row in metrics.matching(QUEUE, &[("container", container)]) {
        let label = |name| row.labels.get(name).cloned().context("a label is missing");
        let (port, family) = (label("port")?, label("family")?);
        let labels = [
            ("container", container),
            ("port", &*port),
            ("family", &*family),
        ];
        let limit = metrics.value(LIMIT, &labels)? as u64;
        queues.insert((port, family), (row.value as u64, limit));
    }
    Ok(queues)
}

/// The same by `ss`.
pub(crate) fn queues_by_ss(netns: &Netns) -> Result<Queues> {
    let mut queues = Queues::new();
    for (port, family, length, limit) in ss::listeners(netns.pid())? {
        let key = (port.to_string(), family.to_owned());
        let queue = queues.entry(key).or_default();
        *queue = (queue.0 + length, queue.1 + limit);
    }
    Ok(queues)
}
