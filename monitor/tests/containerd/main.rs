//! The monitor on a node whose containerd also runs what no kubelet knows: plain containers in its
//! namespaces, beside pods.

mod layer;

use std::os::unix::net::UnixListener;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testkit::containerd::{self, CRI_NAMESPACE, ContainerSpec, Containerd, PodSpec};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::{netns, require};

const EXE: &str = env!("CARGO_BIN_EXE_container-monitor");

/// How long something may take that is the runtime's or the kernel's to do.
const SOON: Duration = Duration::from_secs(10);

const INFO: &str = "container_network_info";

fn start(flags: &[&str]) -> Result<Monitor> {
    let always = ["serve", "--collector.tcp-states.min-interval=0s"];
    Monitor::start(EXE, &[&always[..], flags].concat())
}

/// Starts the monitor on this containerd, its CRI and its own services.
fn monitor(containerd: &Containerd) -> Result<Monitor> {
    let endpoint = containerd.endpoint();
    let monitor = start(&[
        "--discovery=cri,containerd",
        &format!("--cri.endpoint={endpoint}"),
        &format!("--containerd.endpoint={endpoint}"),
    ])?;
    monitor.wait_ready()?;
    Ok(monitor)
}

/// The names of all containers but sandboxes, sorted; the same one twice stands there twice.
fn names(metrics: &Metrics) -> Vec<String> {
    let rows = metrics.series(INFO).into_iter();
    let mut names: Vec<String> = rows.map(|row| row.labels["container"].clone()).collect();
    names.retain(|name| !name.is_empty());
    names.sort();
    names
}

fn expect(names_wanted: &[&str]) -> impl Fn(&Metrics) -> Result<()> {
    move |metrics| {
        let found = names(metrics);
        ensure!(
            found == names_wanted,
            "{found:?}, expected {names_wanted:?}"
        );
        Ok(())
    }
}

/// What has no name but its id, of which another is in another namespace.
fn is_one_of_two(name: &str) -> bool {
    name == "twin" || name.starts_with("twin-")
}

#[test]
fn plain_containers_stand_beside_pods_and_each_counts_once() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let containerd = Containerd::start()?;
    let pod = containerd.run_pod(&PodSpec::new("shop", "web-0"))?;
    let server = containerd.run_container(&pod, &ContainerSpec::new("server", &[]))?;
    let plain = containerd.run_plain("default", "plain", &["pause"])?;
    // What somebody starts by hand where the kubelet has its pods.
    containerd.run_plain(CRI_NAMESPACE, "debug", &["pause"])?;
    let monitor = monitor(&containerd)?;
    monitor.metrics_when(SOON, expect(&["debug", "plain", "server"]))?;

    let metrics = monitor.metrics()?;
    let labels = &metrics.one(INFO, &[("container", "plain")])?.labels;
    ensure!(labels["container_id"] == "plain", "{labels:?}");
    ensure!(labels["runtime"] == "containerd", "{labels:?}");
    ensure!(labels["image"] == containerd::IMAGE, "{labels:?}");
    ensure!(
        labels["netns"] == netns::inode_of(plain)?.to_string(),
        "{labels:?}"
    );
    ensure!(labels["namespace"].is_empty() && labels["pod"].is_empty());
    let labels = &metrics.one(INFO, &[("container", "server")])?.labels;
    ensure!(labels["container_id"] == server.id(), "{labels:?}");
    ensure!(labels["pod"] == "web-0", "{labels:?}");
    for runtime in ["cri", "containerd"] {
        let up = metrics.value("container_monitor_discovery_up", &[("runtime", runtime)])?;
        ensure!(up == 1.0, "{runtime} is {up}");
    }
    let known = metrics.value("container_monitor_containers", &[("runtime", "containerd")])?;
    // The pod's sandbox is one too.
    ensure!(known == 4.0, "{known} containers");

    // New ones, and the same id in two namespaces.
    containerd.run_plain("default", "twin", &["pause"])?;
    containerd.run_plain("other", "twin", &["pause"])?;
    monitor.metrics_when(SOON, |metrics| {
        let found = names(metrics);
        let twins = found.iter().filter(|name| is_one_of_two(name)).count();
        ensure!(twins == 2 && found.len() == 5, "{found:?}");
        Ok(())
    })?;
    let second = containerd.run_container(&pod, &ContainerSpec::new("second", &[]))?;
    monitor.metrics_when(SOON, |metrics| {
        let labels = &metrics.one(INFO, &[("container", "second")])?.labels;
        ensure!(labels["container_id"] == second.id(), "{labels:?}");
        Ok(())
    })?;
    for (namespace, id) in [
        ("default", "twin"),
        ("other", "twin"),
        (CRI_NAMESPACE, "debug"),
    ] {
        containerd.remove_plain(namespace, id)?;
    }
    monitor.metrics_when(SOON, expect(&["plain", "second", "server"]))?;
    containerd.remove_pod(&pod)?;
    monitor.metrics_when(SOON, expect(&["plain"]))?;
    let warnings: Vec<String> = monitor.log();
    let warned = warnings.iter().any(|line| line.contains("WARN"));
    ensure!(!warned, "{warnings:#?}");
    monitor.stop()?;
    Ok(())
}

/// What nobody runs the CRI for is found without a flag, but for the place.
#[test]
fn auto_finds_plain_containers_at_the_socket_of_the_cri() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let mut containerd = Containerd::start()?;
    let nowhere = containerd.socket().with_file_name("none.sock");
    let monitor = start(&[
        &format!("--cri.endpoint={}", containerd.endpoint()),
        &format!("--docker.endpoint=unix://{}", nowhere.display()),
    ])?;
    monitor.wait_ready()?;
    containerd.run_plain("default", "plain", &["pause"])?;
    monitor.metrics_when(SOON, expect(&["plain"]))?;
    // Known ones stay while containerd is away, and what ended meanwhile is gone then.
    containerd.kill();
    monitor.metrics_when(SOON, |metrics| {
        let runtime = [("runtime", "containerd")];
        let up = metrics.value("container_monitor_discovery_up", &runtime)?;
        ensure!(up == 0.0, "up is {up}");
        expect(&["plain"])(metrics)
    })?;
    containerd.restart()?;
    containerd.run_plain("default", "later", &["pause"])?;
    containerd.remove_plain("default", "plain")?;
    monitor.metrics_when(SOON * 4, expect(&["later"]))?;
    monitor.stop()?;
    Ok(())
}

/// A socket that accepts and never answers, one that is not there yet, and one that works.
#[test]
fn sockets_that_hang_or_come_later_do_no_harm_to_the_others() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let containerd = Containerd::start()?;
    let pod = containerd.run_pod(&PodSpec::new("shop", "web-0"))?;
    containerd.run_container(&pod, &ContainerSpec::new("server", &[]))?;
    containerd.run_plain("default", "plain", &["pause"])?;
    let folder = tempfile::tempdir()?;
    let hung = folder.path().join("hung.sock");
    let _listener = UnixListener::bind(&hung)?;
    let later = folder.path().join("later.sock");
    let monitor = start(&[
        "--discovery=auto",
        &format!(
            "--cri.endpoint={},{},{}",
            hung.display(),
            later.display(),
            containerd.endpoint()
        ),
        &format!(
            "--docker.endpoint=unix://{}",
            folder.path().join("d").display()
        ),
        "--log.level=debug",
    ])?;
    // Long before the hung one is given up.
    monitor.metrics_when(SOON / 2, expect(&["plain", "server"]))?;
    // The other socket of the same containerd: nothing is doubled.
    std::os::unix::fs::symlink(containerd.socket(), &later)?;
    let answers = format!("unix://{} answers", later.display());
    let said = || Ok((monitor.log().iter().any(|line| line.contains(&answers))).then_some(()));
    testkit::wait::until("the new socket answers", SOON, said)?;
    monitor.metrics_when(SOON, expect(&["plain", "server"]))?;
    let down = format!("unix://{} is down", hung.display());
    let said = || Ok((monitor.log().iter().any(|line| line.contains(&down))).then_some(()));
    testkit::wait::until("the hung one is called down", SOON * 3, said)?;
    monitor.metrics_when(SOON, expect(&["plain", "server"]))?;
    monitor.stop()?;
    Ok(())
}

/// Without the CRI the kubelet's labels say which pod it is.
#[test]
fn pods_are_told_by_their_labels_where_the_cri_is_not_asked() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let containerd = Containerd::start()?;
    let pod = containerd.run_pod(&PodSpec::new("shop", "web-0"))?;
    let server = containerd.run_container(&pod, &ContainerSpec::new("server", &[]))?;
    let endpoint = format!("--containerd.endpoint={}", containerd.endpoint());
    let monitor = start(&["--discovery=containerd", &endpoint])?;
    monitor.wait_ready()?;
    let metrics = monitor.metrics()?;
    let labels = &metrics.one(INFO, &[("container", "server")])?.labels;
    ensure!(
        labels["namespace"] == "shop" && labels["pod"] == "web-0",
        "{labels:?}"
    );
    ensure!(labels["container_id"] == server.id(), "{labels:?}");
    let sandbox = metrics.matching(INFO, &[("container_id", pod.id())]);
    let sandbox = sandbox.first().context("the sandbox has no info")?;
    ensure!(sandbox.labels["container"].is_empty(), "{sandbox:?}");
    monitor.stop()?;
    Ok(())
}
