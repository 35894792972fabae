//! The mounts of a real Docker container.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use testkit::dockerd::{Dockerd, PROGRAMS};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::require;

fn sizes(metrics: &Metrics, container: &str) -> BTreeMap<String, f64> {
    let samples = metrics.matching(
        "container_filesystem_size_bytes",
        &[("container", container)],
    );
    let by_point = samples
        .into_iter()
        .filter_map(|sample| Some((sample.labels.get("mountpoint")?.clone(), sample.value)));
    by_point.collect()
}

#[test]
fn volumes_and_not_what_the_runtime_mounts() -> Result<()> {
    testkit::require!(crate::needs());
    for program in PROGRAMS {
        testkit::require!(require::program(program));
    }
    let docker = Dockerd::start()?;
    let folder = tempfile::tempdir()?;
    let bind = format!("{}:/host data:ro", folder.path().display());
    let options = [
        "--volume",
        "named:/data",
        "--tmpfs",
        "/scratch:size=2m",
        "--volume",
        &bind,
    ];
    docker.run("fs", &options, &["pause"])?;
    let on_host = [&options[..], &["--network", "host"]].concat();
    docker.run("fs-host", &on_host, &["pause"])?;
    let exe = env!("CARGO_BIN_EXE_container-monitor");
    let endpoint = docker.endpoint();
    let args = [
        "serve",
        "--discovery=docker",
        "--docker.endpoint",
        &endpoint,
    ];
    let monitor = Monitor::start(exe, &args)?;
    monitor.wait_ready()?;
    let metrics = monitor.metrics()?;
    for name in ["fs", "fs-host"] {
        let found = sizes(&metrics, name);
        let points: Vec<&str> = found.keys().map(String::as_str).collect();
        ensure!(
            points == ["/data", "/dev/shm", "/host data", "/scratch"],
            "{points:?}"
        );
        ensure!(found["/scratch"] == 2.0 * 1048576.0, "{found:?}");
        // Through the container's own root, as the container would see it.
        let pid = docker.pid(name)?;
        for point in &points {
            let path = format!("/proc/{pid}/root{point}");
            let all = rustix::fs::statvfs(&path).with_context(|| path.clone())?;
            let size = (all.f_blocks * all.f_frsize) as f64;
            ensure!(
                found[*point] == size,
                "{point}: {} and {size}",
                found[*point]
            );
        }
        let readonly = metrics.value(
            "container_filesystem_readonly",
            &[("container", name), ("mountpoint", "/host data")],
        )?;
        ensure!(readonly == 1.0);
    }
    // With another rule the root shows too.
    monitor.stop()?;
    let rule = "--collector.filesystem.fs-types-exclude=^(proc|sysfs|cgroup.*|devpts|mqueue)$";
    let monitor = Monitor::start(exe, &[&args[..], &[rule]].concat())?;
    monitor.wait_ready()?;
    let found = sizes(&monitor.metrics()?, "fs");
    ensure!(found.contains_key("/"), "{found:?}");
    docker.docker(&["rm", "--force", "fs", "fs-host"])?;
    monitor.metrics_when(crate::SOON, |metrics| {
        let left = metrics.series("container_filesystem_size_bytes");
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })?;
    monitor.stop()?;
    Ok(())
}
