//! Labels: those that a kubelet puts, and those of Docker alone.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::containerd::{self, ContainerSpec, Containerd, PodSpec};
use testkit::dockerd::{Dockerd, PROGRAMS};
use testkit::metrics::{Labels, Metrics};
use testkit::monitor::Monitor;
use testkit::{require, wait};

use crate::{SOON, TCP, compare, monitor};

/// The label sets of a family, without the label that tells its series apart.
fn identities(metrics: &Metrics) -> BTreeSet<Vec<(String, String)>> {
    let identity = |labels: &Labels| {
        let labels = labels.iter().filter(|(name, _)| *name != "tcp_state");
        labels
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    let series = metrics.series(TCP).into_iter();
    series.map(|sample| identity(&sample.labels)).collect()
}

/// The path of a process's cgroup.
fn cgroup(pid: u32) -> Result<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let mut lines = text.lines().rev();
    let path = lines.find_map(|line| line.strip_prefix("0::"));
    Ok(path.context("in no cgroup2")?.to_owned())
}

#[test]
fn a_pod_of_containerd_stands_under_its_sandbox() -> Result<()> {
    testkit::require!(require::root(), require::cgroup2());
    testkit::require!(containerd::programs());
    let containerd = Containerd::start()?;
    let web = containerd.run_pod(&PodSpec::new("shop", "web-0"))?;
    containerd.run_container(
        &web,
        &ContainerSpec::new("server", &["serve", "0.0.0.0:80"]),
    )?;
    let connect = ["connect", "127.0.0.1:80", "10", "--hold"];
    containerd.run_container(&web, &ContainerSpec::new("client", &connect))?;
    let agent = containerd.run_pod(&PodSpec {
        host_network: true,
        ..PodSpec::new("kube-system", "agent")
    })?;
    containerd.run_container(&agent, &ContainerSpec::new("agent", &[]))?;
    let pid = containerd.sandbox_pid(&web)?;

    let endpoint = format!("--cri.endpoint={}", containerd.endpoint());
    let monitor = monitor(&["--discovery=cri", &endpoint])?;
    let metrics = wait::until("ten connections", SOON, || {
        let metrics = monitor.metrics()?;
        let labels = [("pod", "web-0"), ("tcp_state", "established")];
        Ok((metrics.sum(TCP, &labels) == 20.0).then_some(metrics))
    })?;
    // One for the pod, none for its containers and for what is on the host's network.
    let expected = [
        ("container", String::new()),
        ("id", cgroup(pid)?),
        (
            "image",
            metrics
                .one(
                    "container_network_info",
                    &[("pod", "web-0"), ("container", "")],
                )?
                .labels["image"]
                .clone(),
        ),
        ("name", web.id().to_owned()),
        ("namespace", "shop".to_owned()),
        ("pod", "web-0".to_owned()),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    let found = identities(&metrics);
    ensure!(found == BTreeSet::from([expected.to_vec()]), "{found:?}");
    compare(&metrics, web.id(), pid)?;
    monitor.stop()?;
    Ok(())
}

#[test]
fn a_container_of_docker_stands_under_its_name() -> Result<()> {
    testkit::require!(require::root(), require::cgroup2());
    for program in PROGRAMS {
        testkit::require!(require::program(program));
    }
    let docker = Dockerd::start()?;
    let id = docker.run("web", &[], &["serve", "0.0.0.0:80"])?;
    let layer = PathBuf::from(docker.inspect("web", "{{.GraphDriver.Data.UpperDir}}")?);
    let mut file = std::fs::File::create(layer.join("written"))?;
    file.write_all(&[7; 1 << 20])?;
    file.sync_all()?;
    docker.run(
        "side",
        &["--network=container:web"],
        &["connect", "127.0.0.1:80", "5", "--hold"],
    )?;
    docker.run("on-host", &["--network=host"], &["sleep"])?;
    let endpoint = docker.endpoint();
    let args = [
        "--discovery=docker",
        "--docker.endpoint",
        &endpoint,
        "--host-network",
    ];
    let monitor = monitor(&args)?;
    let metrics = wait::until("five connections", SOON, || {
        let metrics = monitor.metrics()?;
        let labels = [("name", "web"), ("tcp_state", "established")];
        Ok((metrics.sum(TCP, &labels) == 10.0).then_some(metrics))
    })?;
    let web = &metrics
        .one(TCP, &[("name", "web"), ("tcp_state", "listen")])?
        .labels;
    ensure!(web["id"] == cgroup(docker.pid("web")?)?, "{web:?}");
    ensure!(web["id"].contains(id.trim()), "{web:?}");
    ensure!(
        web["image"] == docker.inspect("web", "{{.Config.Image}}")?,
        "{web:?}"
    );
    for empty in ["container", "namespace", "pod"] {
        ensure!(web[empty].is_empty(), "{web:?}");
    }
    compare(&metrics, "web", docker.pid("web")?)?;
    // Beside it there is the host, as the root cgroup.
    let ids: BTreeSet<&str> = metrics
        .series(TCP)
        .iter()
        .map(|s| &*s.labels["id"])
        .collect();
    ensure!(ids == BTreeSet::from(["/", &*web["id"]]), "{ids:?}");
    files(&layer, &monitor)?;
    monitor.stop()?;
    Ok(())
}

/// The files of the container `web`, compared with what has this monitor's own names, and with the
/// file system that its layer lies on.
fn files(layer: &Path, monitor: &Monitor) -> Result<()> {
    let own = [("container", "web")];
    let theirs = [("name", "web")];
    let metrics = monitor.metrics_when(Duration::from_secs(60), |metrics| {
        let size = metrics.value("container_filesystem_writable_layer_bytes", &own)?;
        ensure!(size >= f64::from(1 << 20), "{size}");
        Ok(())
    })?;
    let usage = metrics.one("container_fs_usage_bytes", &theirs)?;
    ensure!(usage.value == metrics.value("container_filesystem_writable_layer_bytes", &own)?);
    let disk = rustix::fs::statvfs(layer)?;
    let limit = metrics.value("container_fs_limit_bytes", &theirs)?;
    ensure!(limit == (disk.f_blocks * disk.f_frsize) as f64, "{limit}");
    if disk.f_files > 0 {
        let total = metrics.value("container_fs_inodes_total", &theirs)?;
        ensure!(total == disk.f_files as f64, "{total}");
        let free = metrics.value("container_fs_inodes_free", &theirs)?;
        // Others write to the same disk.
        ensure!((free - disk.f_ffree as f64).abs() < 100_000.0, "{free}");
    }
    let mut df = std::process::Command::new("df");
    df.arg("--output=source").arg(layer);
    let source = testkit::child::output(&mut df)?;
    let source = source.lines().nth(1).context("df is silent")?.trim();
    ensure!(usage.labels["device"] == source, "{usage:?}, not {source}");
    for (family, same) in [
        (
            "container_fs_reads_bytes_total",
            "container_disk_read_bytes_total",
        ),
        (
            "container_fs_writes_bytes_total",
            "container_disk_written_bytes_total",
        ),
    ] {
        let mut same: Vec<(String, f64)> = metrics
            .matching(same, &own)
            .iter()
            .map(|s| (format!("/dev/{}", s.labels["device"]), s.value))
            .collect();
        let mut found: Vec<(String, f64)> = metrics
            .matching(family, &theirs)
            .iter()
            .map(|s| (s.labels["device"].clone(), s.value))
            .collect();
        same.sort_by(|one, other| one.0.cmp(&other.0));
        found.sort_by(|one, other| one.0.cmp(&other.0));
        ensure!(found == same, "{family}: {found:?}, expected {same:?}");
    }
    Ok(())
}
