//! What the scrape configuration for Kubernetes makes of a target, with labels as discovery would
//! give them.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::{require, wait};

use crate::promtool::without_kubernetes;
use crate::server;

#[test]
fn a_target_is_called_by_its_node() -> Result<()> {
    testkit::require!(require::root(), require::program("prometheus"));
    let _netns = Netns::new("deploy-relabel")?;
    let args = ["serve", "--discovery", "cgroup"];
    let monitor = Monitor::start(env!("CARGO_BIN_EXE_container-monitor"), &args)?;
    monitor.wait_ready()?;
    for name in ["kubernetes", "lean"] {
        let mut discovered = "    static_configs:\n".to_owned();
        for (app, phase, node) in [
            ("container-monitor", "Running", "node-1"),
            ("container-monitor", "Failed", "node-2"),
            ("something-else", "Running", "node-3"),
        ] {
            write!(
                discovered,
                "      - targets: ['{}']\n        labels:\n          \
                 __meta_kubernetes_pod_label_app_kubernetes_io_name: {app}\n          \
                 __meta_kubernetes_pod_phase: {phase}\n          \
                 __meta_kubernetes_pod_node_name: {node}\n          \
                 namespace: monitoring\n          pod: exporter-x\n          container: exporter\n",
                monitor.address()
            )?;
        }
        let config = without_kubernetes(name, &discovered)?;
        let server = server::with_config(&config.replace("30s", "1s").replace("60s", "1s"))?;
        let info = "container_network_info{container=\"deploy-relabel\"}";
        let series = wait::until("scraped", Duration::from_secs(20), || {
            let series = server.query(info)?;
            Ok((!series.is_empty()).then_some(series))
        })?;
        ensure!(series.len() == 1, "{name}: {series:?}");
        let labels = &series[0].0;
        ensure!(
            labels["node"] == "node-1" && labels["instance"] == "node-1",
            "{labels:?}"
        );
        // The workload's own, of which two are empty and so none: not the exporter's.
        ensure!(
            labels.get("namespace").is_none() && labels.get("pod").is_none(),
            "{labels:?}"
        );
        ensure!(labels.get("exported_container").is_none(), "{labels:?}");
        ensure!(server.query("up")?.len() == 1);
        // What lean.yaml leaves out, and nothing else.
        let udp = server.query("container_network_udp_in_datagrams_total")?;
        ensure!(udp.is_empty() == (name == "lean"), "{name}: {udp:?}");
        ensure!(
            !server
                .query("container_network_udp_rcvbuf_errors_total")?
                .is_empty()
        );
        ensure!(
            !server
                .query("container_network_tcp_sockets{state=\"closing\"}")?
                .is_empty()
        );
    }
    monitor.stop()?;
    Ok(())
}
