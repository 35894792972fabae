//! The mounts of a pod's containers, which are told of each container and of no sandbox.

use anyhow::{Result, ensure};
use testkit::containerd::{self, ContainerSpec, Containerd, PodSpec};
use testkit::require;

use crate::monitor;

#[test]
fn containers_have_mounts_and_sandboxes_none() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let containerd = Containerd::start()?;
    let web = containerd.run_pod(&PodSpec::new("shop", "web-0"))?;
    for name in ["server", "sidecar"] {
        containerd.run_container(&web, &ContainerSpec::new(name, &[]))?;
    }
    let agent = containerd.run_pod(&PodSpec {
        host_network: true,
        ..PodSpec::new("kube-system", "node-agent")
    })?;
    containerd.run_container(&agent, &ContainerSpec::new("agent", &[]))?;
    let monitor = monitor(&containerd)?;
    let metrics = monitor.metrics()?;
    let name = "container_filesystem_size_bytes";
    for (namespace, pod, container) in [
        ("shop", "web-0", "server"),
        ("shop", "web-0", "sidecar"),
        ("kube-system", "node-agent", "agent"),
    ] {
        let identity = [
            ("namespace", namespace),
            ("pod", pod),
            ("container", container),
        ];
        let found = metrics.matching(name, &identity);
        let points: Vec<_> = found
            .iter()
            .map(|sample| sample.labels.get("mountpoint").map(String::as_str))
            .collect();
        // Beside it there are only what the runtime mounts for the process, and single files.
        ensure!(points == [Some("/dev/shm")], "{container}: {found:?}");
    }
    let all = metrics.series(name);
    ensure!(all.len() == 3, "{all:?}");
    monitor.stop()?;
    Ok(())
}
