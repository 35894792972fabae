//! The monitor on a node with a real containerd: pods as a kubelet makes them over the CRI.

mod lifecycle;
mod mounts;
mod scale;

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::containerd::{self, ContainerSpec, Containerd, Pod, PodSpec};
use testkit::metrics::{Labels, Metrics};
use testkit::monitor::Monitor;
use testkit::{published, require, ss, wait};

pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_container-monitor");

/// How long something may take that is the runtime's or the kernel's to do.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const INFO: &str = "container_network_info";

/// Starts the monitor on this containerd alone.
pub(crate) fn monitor(containerd: &Containerd) -> Result<Monitor> {
    let endpoint = format!("--cri.endpoint={}", containerd.endpoint());
    let flags = ["serve", "--discovery=cri", &endpoint];
    let monitor = Monitor::start(
        EXE,
        &[&flags[..], &["--collector.tcp-states.min-interval=0s"]].concat(),
    )?;
    monitor.wait_ready()?;
    Ok(monitor)
}

/// The labels of a container's info, or of a sandbox's, whose container has no name.
pub(crate) fn info<'a>(metrics: &'a Metrics, pod: &Pod, container: &str) -> Result<&'a Labels> {
    let spec = pod.spec();
    let labels = [
        ("namespace", &*spec.namespace),
        ("pod", &*spec.name),
        ("container", container),
    ];
    Ok(&metrics.one(INFO, &labels)?.labels)
}

#[test]
fn containers_of_pods_stand_under_their_names() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    testkit::require!(containerd::programs());
    let containerd = Containerd::start()?;
    let web = containerd.run_pod(&PodSpec::new("shop", "web-0").label("app", "web"))?;
    let server = ContainerSpec::new("server", &["serve", "80"]);
    let server = containerd.run_container(&web, &server)?;
    let connect = ["connect", "127.0.0.1:80", "10", "--hold"];
    containerd.run_container(&web, &ContainerSpec::new("client", &connect))?;
    let agent = containerd.run_pod(&PodSpec {
        host_network: true,
        ..PodSpec::new("kube-system", "node-agent")
    })?;
    let agent_id = containerd.run_container(&agent, &ContainerSpec::new("agent", &[]))?;
    let pid = containerd.sandbox_pid(&web)?;
    wait::until("ten connections", SOON, || {
        Ok((ss::total(&ss::states(pid)?, "established") == 20).then_some(()))
    })?;

    let monitor = monitor(&containerd)?;
    let metrics = monitor.metrics()?;
    let netns = containerd.sandbox_netns_inode(&web)?.to_string();
    for container in ["server", "client"] {
        let labels = info(&metrics, &web, container)?;
        ensure!(labels["runtime"] == "containerd", "{labels:?}");
        ensure!(labels["netns"] == netns, "{labels:?}, expected {netns}");
        ensure!(labels["image"] == containerd::IMAGE, "{labels:?}");
    }
    let labels = info(&metrics, &web, "server")?;
    ensure!(labels["container_id"] == server.id(), "{labels:?}");
    let labels = info(&metrics, &agent, "agent")?;
    ensure!(labels["container_id"] == agent_id.id(), "{labels:?}");

    // Counters are the pod's, once; sockets are each container's own.
    let pod = [("namespace", "shop"), ("pod", "web-0")];
    let opens = metrics.matching("container_network_tcp_active_opens_total", &pod);
    ensure!(opens.len() == 1 && opens[0].value == 10.0, "{opens:?}");
    for (container, listeners) in [("server", 1), ("client", 0)] {
        let labels = [&pod[..], &[("container", container)]].concat();
        let count = |state| {
            let state = [&labels[..], &[("state", state)]].concat();
            metrics.sum(published::SOCKETS, &state)
        };
        ensure!(count("established") == 10.0, "{container}");
        ensure!(count("listen") == f64::from(listeners), "{container}");
    }
    let up = [("runtime", "cri")];
    ensure!(metrics.value("container_monitor_discovery_up", &up)? == 1.0);
    monitor.stop()?;
    Ok(())
}

/// Chosen labels and annotations of pods, of a static pod and one on the host's network too, and
/// none of them where a pod has none.
#[test]
fn chosen_labels_and_annotations_stand_on_the_info() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let containerd = Containerd::start()?;
    let web = PodSpec::new("shop", "web-0").label("app.kubernetes.io/name", "web \"1\"");
    let mut static_pod = PodSpec {
        host_network: true,
        ..PodSpec::new("kube-system", "etcd-node").label("tier", "control-plane")
    };
    for (key, value) in [
        ("kubernetes.io/config.source", "file"),
        (
            "kubernetes.io/config.hash",
            "0123456789abcdef0123456789abcdef",
        ),
    ] {
        let (key, value) = (key.to_owned(), value.to_owned());
        static_pod.annotations.insert(key, value);
    }
    // The kubelet makes the uid of a static pod of a hash: it has no dashes.
    static_pod.uid = static_pod.uid.replace('-', "");
    let web = containerd.run_pod(&web)?;
    containerd.run_container(&web, &ContainerSpec::new("server", &[]))?;
    let static_pod = containerd.run_pod(&static_pod)?;
    let etcd = containerd.run_container(&static_pod, &ContainerSpec::new("etcd", &[]))?;

    let endpoint = format!("--cri.endpoint={}", containerd.endpoint());
    let monitor = Monitor::start(
        EXE,
        &[
            "serve",
            "--discovery=cri",
            &endpoint,
            "--pod-labels=app.kubernetes.io/name,tier",
            "--pod-annotations=kubernetes.io/config.source",
        ],
    )?;
    monitor.wait_ready()?;
    let metrics = monitor.metrics()?;
    for (pod, container, name, tier, origin) in [
        (&web, "server", "web \"1\"", "", ""),
        (&web, "", "web \"1\"", "", ""),
        (&static_pod, "etcd", "", "control-plane", "file"),
    ] {
        let labels = info(&metrics, pod, container)?;
        let found = [
            "label_app_kubernetes_io_name",
            "label_tier",
            "annotation_kubernetes_io_config_source",
        ]
        .map(|name| labels.get(name).map(String::as_str));
        ensure!(found == [name, tier, origin].map(Some), "{labels:?}");
    }
    let labels = info(&metrics, &static_pod, "etcd")?;
    ensure!(labels["network_mode"] == "host", "{labels:?}");
    ensure!(labels["container_id"] == etcd.id(), "{labels:?}");
    // A pod on the host's network has no namespace of its own to be told of.
    let of_pod = [("pod", "etcd-node")];
    let used = metrics.matching("container_network_sockets_used", &of_pod);
    ensure!(used.is_empty(), "{used:?}");
    monitor.stop()?;
    Ok(())
}
