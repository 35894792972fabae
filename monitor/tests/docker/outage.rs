//! A Docker daemon that goes away, comes back, or is not there yet.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::child::has_ended;
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::wait;

use crate::fleet::Fleet;
use crate::lifecycle::{SOON, absent, present};

const UP: &str = "container_monitor_discovery_up";
const DOCKER: [(&str, &str); 1] = [("runtime", "docker")];
/// How long the monitor may take to find a daemon that is back: its longest pause, and some.
const BACK: Duration = Duration::from_secs(40);

fn is(metrics: &Metrics, up: f64) -> Result<()> {
    let value = metrics.value(UP, &DOCKER)?;
    ensure!(value == up, "{UP} is {value}");
    Ok(())
}

pub(crate) fn daemon_killed_and_restarted(fleet: &mut Fleet) -> Result<()> {
    let monitor = fleet.monitor(&[])?;
    is(&monitor.metrics()?, 1.0)?;
    let lost = fleet.docker.pid("web-12")?;
    fleet.docker.kill();
    let watched = watch(&monitor, lost);
    // Whatever was seen: the other checks need the daemon.
    fleet.docker.restart()?;
    watched?;
    monitor.metrics_when(BACK, |metrics| is(metrics, 1.0))?;
    fleet.docker.run("newcomer", &[], &["serve", "80"])?;
    let metrics = monitor.metrics_when(SOON, |metrics| present(metrics, "newcomer"))?;
    present(&metrics, "web-11")?;
    absent(&metrics, "web-12")?;
    fleet.docker.docker(&["rm", "--force", "newcomer"])?;
    // A state is told when it changes, not at every attempt.
    let log = monitor.log();
    let said = log.iter().filter(|line| line.contains("docker")).count();
    ensure!(said <= 12, "{said} lines about docker:\n{}", log.join("\n"));
    monitor.stop()?;
    fleet.docker.docker(&["start", "web-12"])?;
    Ok(())
}

/// Scrapes while there is no daemon: known containers go on, and one that ends is noticed.
fn watch(monitor: &Monitor, lost: u32) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        let metrics = monitor.metrics()?;
        present(&metrics, "web-11")?;
        present(&metrics, "web-12")?;
    }
    monitor.metrics_when(Duration::from_secs(10), |metrics| is(metrics, 0.0))?;
    kill(lost)?;
    wait::until("web-12 has ended", SOON, || {
        Ok(has_ended(lost).then_some(()))
    })?;
    let metrics = monitor.metrics()?;
    absent(&metrics, "web-12")?;
    present(&metrics, "web-11")
}

/// Kills a container's first process, as the kernel's out-of-memory killer would.
fn kill(pid: u32) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?);
    let pid = pid.ok_or_else(|| anyhow::anyhow!("no pid"))?;
    Ok(rustix::process::kill_process(
        pid,
        rustix::process::Signal::KILL,
    )?)
}

/// The monitor starts, serves, and finds the containers when the daemon has come up.
pub(crate) fn no_daemon_at_the_start(fleet: &mut Fleet) -> Result<()> {
    fleet.docker.kill();
    let endpoint = fleet.docker.endpoint();
    let args = [
        "serve",
        "--discovery",
        "docker",
        "--docker.endpoint",
        &endpoint,
    ];
    let monitor = Monitor::start(env!("CARGO_BIN_EXE_container-monitor"), &args);
    let early = monitor.and_then(|monitor| {
        let health = monitor.get("/healthz")?.status;
        ensure!(health == 200, "/healthz says {health}");
        is(&monitor.metrics()?, 0.0)?;
        Ok(monitor)
    });
    fleet.docker.restart()?;
    let monitor = early?;
    let metrics = monitor.metrics_when(BACK, |metrics| is(metrics, 1.0))?;
    present(&metrics, "web-0")?;
    monitor.wait_ready()?;
    monitor.stop()?;
    Ok(())
}
