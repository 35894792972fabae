//! What comes and goes: pods, attempts of a container, containerd itself.

use anyhow::{Result, ensure};
use testkit::containerd::{self, ContainerSpec, Containerd, PodSpec};
use testkit::require;

use crate::{INFO, SOON, info, monitor};

#[test]
fn attempts_and_pods_come_and_go() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let containerd = Containerd::start()?;
    let monitor = monitor(&containerd)?;
    ensure!(monitor.metrics()?.series(INFO).is_empty(), "out of nothing");
    let pod = containerd.run_pod(&PodSpec::new("shop", "web-0"))?;
    let first = containerd.run_container(&pod, &ContainerSpec::new("server", &[]))?;
    let is = |id: &str| {
        let id = id.to_owned();
        let pod = &pod;
        move |metrics: &_| {
            let labels = info(metrics, pod, "server")?;
            ensure!(labels["container_id"] == id, "{labels:?}, expected {id}");
            Ok(())
        }
    };
    monitor.metrics_when(SOON, is(first.id()))?;
    containerd.stop_container(&first)?;
    let second = containerd.run_container(&pod, &first.spec().again())?;
    monitor.metrics_when(SOON, is(second.id()))?;
    containerd.remove_pod(&pod)?;
    monitor.metrics_when(SOON, |metrics| {
        let left = metrics.series(INFO);
        ensure!(left.is_empty(), "left: {left:?}");
        Ok(())
    })?;
    monitor.stop()?;
    Ok(())
}

#[test]
fn what_is_known_outlives_containerd() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let mut containerd = Containerd::start()?;
    let pod = containerd.run_pod(&PodSpec::new("shop", "web-0"))?;
    containerd.run_container(&pod, &ContainerSpec::new("server", &[]))?;
    let monitor = monitor(&containerd)?;
    let up = |expected: f64| {
        let pod = &pod;
        move |metrics: &testkit::metrics::Metrics| {
            let labels = [("runtime", "cri")];
            let up = metrics.value("container_monitor_discovery_up", &labels)?;
            ensure!(up == expected, "up is {up}");
            info(metrics, pod, "server").map(drop)
        }
    };
    monitor.metrics_when(SOON, up(1.0))?;
    containerd.kill();
    monitor.metrics_when(SOON, up(0.0))?;
    containerd.restart()?;
    monitor.metrics_when(SOON * 4, up(1.0))?;
    let log = monitor.log();
    let warnings = log.iter().filter(|line| line.contains("WARN")).count();
    ensure!(warnings <= 2, "{log:#?}");
    monitor.stop()?;
    Ok(())
}

/// A pod made and removed again and again leaves nothing behind in the monitor.
#[test]
fn nothing_is_left_of_many_pods() -> Result<()> {
    const ROUNDS: usize = 20;
    testkit::require!(require::root(), containerd::programs());
    let containerd = Containerd::start()?;
    let monitor = monitor(&containerd)?;
    let before = monitor.fd_count()?;
    for number in 0..ROUNDS {
        let pod = containerd.run_pod(&PodSpec::new("shop", &format!("job-{number}")))?;
        containerd.run_container(&pod, &ContainerSpec::new("job", &[]))?;
        monitor.metrics_when(SOON, |metrics| info(metrics, &pod, "job").map(drop))?;
        containerd.remove_pod(&pod)?;
    }
    monitor.metrics_when(SOON, |metrics| {
        let left = metrics.series(INFO);
        ensure!(left.is_empty(), "left: {left:?}");
        Ok(())
    })?;
    let after = monitor.fd_count()?;
    ensure!(after <= before + 2, "{after} descriptors, {before} before");
    monitor.stop()?;
    Ok(())
}
