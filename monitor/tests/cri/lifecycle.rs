//! What comes and goes: pods, attempts of a container, containerd itself.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::containerd::{self, ContainerSpec, Containerd, PodSpec};
use testkit::metrics::Metrics;
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
        move |metrics: &Metrics| {
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

/// A pod made and removed again and again leaves nothing behind: no series, no descriptor, no
/// network namespace, and in the end no entry of the eBPF map.
///
/// `CONTAINER_MONITOR_TEST_PODS` says how often; where it is set the test also waits until the
/// entries of the map are let go, which takes two minutes.
#[test]
fn nothing_is_left_of_many_pods() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let rounds = std::env::var("CONTAINER_MONITOR_TEST_PODS");
    let is_judged = rounds.is_ok();
    let rounds: usize = rounds.map_or(Ok(20), |rounds| rounds.parse())?;
    let containerd = Containerd::start()?;
    let monitor = monitor(&containerd)?;
    let of_map = |metrics: &Metrics| {
        metrics
            .value("container_monitor_ebpf_map_entries", &[])
            .ok()
    };
    let of_kernel = |metrics: &Metrics| {
        let name = "container_monitor_host_network_namespaces";
        metrics.value(name, &[]).ok()
    };
    let at_first = monitor.metrics()?;
    let before = monitor.fd_count()?;
    let mut waits = Vec::new();
    for number in 0..rounds {
        let pod = containerd.run_pod(&PodSpec::new("shop", &format!("job-{number}")))?;
        let begun = Instant::now();
        containerd.run_container(&pod, &ContainerSpec::new("job", &["serve", "80"]))?;
        monitor.metrics_when(SOON, |metrics| info(metrics, &pod, "job").map(drop))?;
        waits.push(begun.elapsed());
        containerd.remove_pod(&pod)?;
    }
    monitor.metrics_when(SOON, |metrics| {
        let left = metrics.series(INFO);
        ensure!(left.is_empty(), "left: {left:?}");
        Ok(())
    })?;
    let after = monitor.fd_count()?;
    ensure!(after <= before + 2, "{after} descriptors, {before} before");
    // Other tests have namespaces of their own meanwhile, but not as many.
    monitor.metrics_when(SOON, |metrics| {
        let (now, then) = (of_kernel(metrics), of_kernel(&at_first));
        let bound = then.map(|then| then + rounds as f64 / 2.0);
        ensure!(now <= bound, "{now:?} network namespaces, {then:?} before");
        Ok(())
    })?;
    if is_judged {
        monitor.metrics_when(Duration::from_secs(240), |metrics| {
            let (now, then) = (of_map(metrics), of_map(&at_first));
            let bound = then.map(|then| then + rounds as f64 / 10.0);
            ensure!(now <= bound, "{now:?} entries, {then:?} before");
            Ok(())
        })?;
    }
    waits.sort();
    eprintln!(
        "from the start of a container to its first series: {:?} in the middle, {:?} at most",
        waits[waits.len() / 2],
        waits[waits.len() - 1]
    );
    monitor.stop()?;
    Ok(())
}
