//! How often the sockets are looked at, and what the monitor tells of it.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::require;

use crate::EXE;

fn own(metrics: &Metrics, name: &str) -> Result<f64> {
    metrics.value(&format!("container_monitor_tcp_states_{name}"), &[])
}

#[test]
fn scrapes_soon_after_one_another_share_a_look() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let args = ["serve", "--discovery", "cgroup"];
    let monitor = Monitor::start(EXE, &args)?;
    monitor.wait_ready()?;
    let first = monitor.metrics()?;
    let second = monitor.metrics()?;
    let looks = |metrics: &Metrics| own(metrics, "looks_total");
    ensure!(looks(&first)? == looks(&second)?, "the second looked again");
    ensure!(own(&first, "age_seconds")? < own(&second, "age_seconds")?);
    ensure!(own(&second, "age_seconds")? < 1.0);
    std::thread::sleep(Duration::from_millis(1100));
    let third = monitor.metrics()?;
    ensure!(looks(&third)? == looks(&second)? + 1.0);
    let (took, slice) = (
        own(&third, "duration_seconds")?,
        own(&third, "longest_slice_seconds")?,
    );
    ensure!(0.0 < slice && slice <= took, "{slice} of {took}");
    monitor.stop()?;
    Ok(())
}

/// A look that takes longer than it may is made less often, and the age says so.
#[test]
fn expensive_looks_are_spaced_out() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let args = [
        "serve",
        "--discovery",
        "cgroup",
        "--host-network",
        "--collector.tcp-states.min-interval=0s",
        "--collector.tcp-states.max-duration=1ns",
    ];
    let monitor = Monitor::start(EXE, &args)?;
    monitor.wait_ready()?;
    let first = monitor.metrics()?;
    let rest = own(&first, "duration_seconds")? * 60.0;
    let second = monitor.metrics()?;
    if own(&second, "age_seconds")? < rest {
        ensure!(own(&second, "looks_total")? == own(&first, "looks_total")?);
    }
    // What was seen stays.
    ensure!(!second.series(testkit::published::SOCKETS).is_empty());
    std::thread::sleep(Duration::from_secs_f64(rest));
    let third = monitor.metrics()?;
    ensure!(own(&third, "looks_total")? > own(&first, "looks_total")?);
    monitor.stop()?;
    Ok(())
}
