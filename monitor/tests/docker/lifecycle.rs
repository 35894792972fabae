//! Containers that stop, go, change their name, come back.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::child::has_ended;
use testkit::metrics::Metrics;
use testkit::wait;

use crate::fleet::Fleet;

/// How soon an event of the runtime shows.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Nothing is said of the container any more.
pub(crate) fn absent(metrics: &Metrics, name: &str) -> Result<()> {
    let left = metrics.labelled(&[("container", name)]);
    ensure!(
        left.is_empty(),
        "{} series of {name} are left: {:?}",
        left.len(),
        left[0]
    );
    Ok(())
}

/// The container has its info and its counters.
pub(crate) fn present(metrics: &Metrics, name: &str) -> Result<()> {
    metrics.one("container_network_info", &[("container", name)])?;
    metrics.one("container_network_sockets_used", &[("container", name)])?;
    Ok(())
}

pub(crate) fn stopped(fleet: &mut Fleet) -> Result<()> {
    let monitor = fleet.monitor(&[])?;
    present(&monitor.metrics()?, "web-5")?;
    fleet.docker.docker(&["stop", "web-5"])?;
    absent(&monitor.metrics()?, "web-5")?;
    fleet.docker.docker(&["start", "web-5"])?;
    monitor.metrics_when(SOON, |metrics| present(metrics, "web-5"))?;
    monitor.stop()?;
    Ok(())
}

/// No command of Docker's, so that only the process tells: the next scrape knows already.
pub(crate) fn killed_from_outside(fleet: &mut Fleet) -> Result<()> {
    let monitor = fleet.monitor(&[])?;
    let pid = fleet.docker.pid("web-9")?;
    present(&monitor.metrics()?, "web-9")?;
    fleet.docker.docker(&["kill", "--signal=KILL", "web-9"])?;
    wait::until("web-9 has ended", SOON, || Ok(has_ended(pid).then_some(())))?;
    absent(&monitor.metrics()?, "web-9")?;
    fleet.docker.docker(&["start", "web-9"])?;
    monitor.metrics_when(SOON, |metrics| present(metrics, "web-9"))?;
    monitor.stop()?;
    Ok(())
}

pub(crate) fn removed(fleet: &mut Fleet) -> Result<()> {
    let monitor = fleet.monitor(&[])?;
    fleet.docker.run("fleeting", &[], &["serve", "80"])?;
    monitor.metrics_when(SOON, |metrics| present(metrics, "fleeting"))?;
    fleet.connect("fleeting", 10, &[])?;
    fleet.docker.docker(&["rm", "--force", "fleeting"])?;
    absent(&monitor.metrics()?, "fleeting")?;
    // The same name again is another container: it starts from nothing.
    fleet.docker.run("fleeting", &[], &["serve", "80"])?;
    let metrics = monitor.metrics_when(SOON, |metrics| present(metrics, "fleeting"))?;
    let opens = metrics.sum(
        "container_network_tcp_active_opens_total",
        &[("container", "fleeting")],
    );
    let transitions = metrics.sum(
        "container_network_tcp_transitions_total",
        &[("container", "fleeting"), ("new_state", "syn_sent")],
    );
    ensure!(
        opens == 0.0 && transitions == 0.0,
        "{opens} opens, {transitions} transitions"
    );
    fleet.docker.docker(&["rm", "--force", "fleeting"])?;
    monitor.stop()?;
    Ok(())
}

pub(crate) fn renamed(fleet: &mut Fleet) -> Result<()> {
    let monitor = fleet.monitor(&[])?;
    present(&monitor.metrics()?, "web-7")?;
    fleet.docker.docker(&["rename", "web-7", "renamed"])?;
    monitor.metrics_when(SOON, |metrics| {
        present(metrics, "renamed")?;
        absent(metrics, "web-7")
    })?;
    fleet.docker.docker(&["rename", "renamed", "web-7"])?;
    monitor.metrics_when(SOON, |metrics| {
        present(metrics, "web-7")?;
        absent(metrics, "renamed")
    })?;
    monitor.stop()?;
    Ok(())
}

pub(crate) fn restarted(fleet: &mut Fleet) -> Result<()> {
    let monitor = fleet.monitor(&[])?;
    let old = fleet.docker.pid("web-8")?;
    fleet.connect("web-8", 5, &[])?;
    let labels = [("container", "web-8")];
    let opens = "container_network_tcp_active_opens_total";
    ensure!(monitor.metrics()?.value(opens, &labels)? >= 5.0, "no opens");
    fleet.docker.docker(&["restart", "web-8"])?;
    ensure!(fleet.docker.pid("web-8")? != old, "not restarted");
    monitor.metrics_when(SOON, |metrics| {
        present(metrics, "web-8")?;
        // A new namespace: a counter that starts again, which Prometheus takes for a reset.
        ensure!(
            metrics.value(opens, &labels)? == 0.0,
            "the old namespace's counters"
        );
        Ok(())
    })?;
    monitor.stop()?;
    Ok(())
}

pub(crate) fn paused(fleet: &mut Fleet) -> Result<()> {
    let monitor = fleet.monitor(&[])?;
    fleet.docker.docker(&["pause", "web-10"])?;
    let result = (0..10).try_for_each(|_| {
        std::thread::sleep(Duration::from_millis(100));
        present(&monitor.metrics()?, "web-10")
    });
    fleet.docker.docker(&["unpause", "web-10"])?;
    result?;
    present(&monitor.metrics()?, "web-10")?;
    monitor.stop()?;
    Ok(())
}
