//! A pod of which one container is left out.

use anyhow::{Result, ensure};
use testkit::containerd::{self, ContainerSpec, Containerd, PodSpec};
use testkit::monitor::Monitor;
use testkit::require;

use crate::{DROPPED, EXE, INFO, USED, containers};

const SOCKETS: &str = "container_network_tcp_sockets";
const TRANSITIONS: &str = "container_network_tcp_transitions_total";

#[test]
fn a_sidecar_is_left_out_and_its_pod_stays() -> Result<()> {
    testkit::require!(
        require::root(),
        require::bpf(),
        require::btf(),
        require::cgroup2()
    );
    testkit::require!(containerd::programs());
    let containerd = Containerd::start()?;
    let endpoint = format!("--cri.endpoint={}", containerd.endpoint());
    let start = |selector: &str| {
        let args = [
            "serve",
            "--discovery=cri",
            &endpoint,
            "--collector.tcp-states.min-interval=0s",
            selector,
        ];
        let monitor = Monitor::start(EXE, &args)?;
        monitor.wait_ready()?;
        Ok::<_, anyhow::Error>(monitor)
    };
    let without_proxy = start("--container-exclude=container=proxy")?;
    let without_image = start("--container-exclude=image=~.+")?;
    let web = containerd.run_pod(&PodSpec::new("shop", "web-0"))?;
    let server = ContainerSpec::new("app", &["serve", "0.0.0.0:80"]);
    containerd.run_container(&web, &server)?;
    let connect = ["connect", "127.0.0.1:80", "10", "--hold"];
    containerd.run_container(&web, &ContainerSpec::new("proxy", &connect))?;
    let other = containerd.run_pod(&PodSpec::new("shop", "bare-0"))?;

    let metrics = without_proxy.metrics_when(crate::SOON, |metrics| {
        let app = [("container", "app"), ("state", "established")];
        ensure!(metrics.sum(SOCKETS, &app) == 10.0);
        ensure!(
            metrics.series(INFO).len() == 3,
            "{:?}",
            metrics.series(INFO)
        );
        Ok(())
    })?;
    let own = ["", "app"].map(str::to_owned).into();
    ensure!(containers(&metrics, INFO) == own);
    for family in [SOCKETS, TRANSITIONS] {
        let found = containers(&metrics, family);
        ensure!(
            found.is_subset(&own) && found.contains("app"),
            "{family}: {found:?}"
        );
    }
    // Nothing of the sidecar's moved to the sandbox.
    let established = [("pod", "web-0"), ("state", "established")];
    ensure!(metrics.sum(SOCKETS, &established) == 10.0);
    // What belongs to the pod stays whole.
    let opens = [("pod", "web-0")];
    ensure!(metrics.value("container_network_tcp_active_opens_total", &opens)? == 10.0);
    ensure!(metrics.series(USED).len() == 2);
    ensure!(metrics.value(DROPPED, &[("reason", "excluded")])? == 1.0);
    without_proxy.stop()?;

    // All containers of the one pod are left out, and it with them; a sandbox alone has no image.
    let metrics = without_image.metrics_when(crate::SOON, |metrics| {
        ensure!(metrics.value(DROPPED, &[("reason", "excluded")])? == 2.0);
        ensure!(metrics.series(INFO).len() == 1);
        Ok(())
    })?;
    metrics.value(USED, &[("pod", "bare-0")])?;
    ensure!(metrics.matching(USED, &[("pod", "web-0")]).is_empty());
    without_image.stop()?;
    containerd.remove_pod(&other)?;
    Ok(())
}
