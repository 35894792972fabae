//! What is published under cAdvisor's names, with cAdvisor's own way to read the kernel's files as
//! the judge ([`testkit::cadvisor`]).

mod prometheus;
mod runtimes;
mod values;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::cadvisor::{self, Values};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;

pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_container-monitor");

/// How long something may take that is the kernel's or a runtime's to do.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const TCP: &str = "container_network_tcp_usage_total";
pub(crate) const UDP: &str = "container_network_udp_usage_total";

/// The families that are told apart by a label, with that label and the file.
const FAMILIES: [(&str, &str, &str); 4] = [
    (TCP, "tcp_state", "tcp"),
    ("container_network_tcp6_usage_total", "tcp_state", "tcp6"),
    (UDP, "udp_state", "udp"),
    ("container_network_udp6_usage_total", "udp_state", "udp6"),
];

const ADVANCED: &str = "container_network_advance_tcp_stats_total";

/// Starts the monitor with cAdvisor's names, and nothing shared between scrapes.
pub(crate) fn monitor(more: &[&str]) -> Result<Monitor> {
    let args = [
        "serve",
        "--collector.cadvisor",
        "--collector.tcp-states.min-interval=0s",
    ];
    let monitor = Monitor::start(EXE, &[&args, more].concat())?;
    monitor.wait_ready()?;
    Ok(monitor)
}

/// What cAdvisor would read of the process `pid`.
fn read(pid: u32, file: &str) -> Result<Values> {
    if file.starts_with("udp") {
        cadvisor::udp(pid, file)
    } else {
        cadvisor::tcp(pid, file)
    }
}

/// Demands that the container called `name` in its runtime has what cAdvisor would read of the
/// process `pid`.
pub(crate) fn compare(metrics: &Metrics, name: &str, pid: u32) -> Result<()> {
    for (family, label, file) in FAMILIES {
        let ours = cadvisor::published(metrics, family, label, name)?;
        let theirs = read(pid, file)?;
        ensure!(ours == theirs, "{family}: {ours:?}, expected {theirs:?}");
    }
    let ours = cadvisor::published(metrics, ADVANCED, "tcp_state", name)?;
    let theirs = cadvisor::advanced(pid)?;
    // Linux 4.18 has more than ninety of them.
    ensure!(ours.len() > 80, "{ours:?}");
    for (field, value) in &ours {
        ensure!(
            theirs.get(field) == Some(value),
            "{field}: {value}, {theirs:?}"
        );
    }
    // Another test's monitor that visits the namespace has a socket in it for a moment.
    let sockets = metrics.value("container_sockets", &[("name", name)])?;
    testkit::wait::until("sockstat has as many sockets", SOON, || {
        let sockstat = std::fs::read_to_string(format!("/proc/{pid}/net/sockstat"))?;
        let used = sockstat
            .lines()
            .find_map(|line| line.strip_prefix("sockets: used "));
        let used: f64 = used.context("no used")?.parse()?;
        Ok((used <= sockets && sockets <= used + 1.0).then_some(()))
    })?;
    Ok(())
}
