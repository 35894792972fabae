//! A real Prometheus that asks as dashboards for cAdvisor ask.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::containerd::{self, ContainerSpec, Containerd, PodSpec};
use testkit::prometheus::{Prometheus, promtool_check_metrics};
use testkit::require;

use crate::monitor;

/// What dashboards and alerts ask, and what the pod with ten connections within gives.
const QUERIES: &[(&str, f64)] = &[
    (
        "sum by (pod) (container_network_tcp_usage_total{tcp_state=\"established\"})",
        20.0,
    ),
    (
        "sum(container_network_tcp_usage_total{namespace=\"shop\",tcp_state=\"listen\"}) by (namespace, pod)",
        1.0,
    ),
    (
        "max by (pod) (container_network_tcp_usage_total{tcp_state=~\"closewait|lastack\",pod!=\"\"})",
        0.0,
    ),
    // As the recording rules for kubelets pick sandboxes.
    (
        "sum by (pod) (container_network_tcp_usage_total{image!=\"\",name=~\"^[0-9a-f]{64}$\",tcp_state!=\"listen\"})",
        20.0,
    ),
    (
        "sum by (pod) (container_network_udp_usage_total{udp_state=\"dropped\"})",
        0.0,
    ),
    (
        "sum by (pod) (container_network_advance_tcp_stats_total{tcp_state=\"activeopens\",id=~\"/.+\"})",
        10.0,
    ),
    ("count by (pod) (container_sockets)", 1.0),
];

#[test]
fn dashboards_for_cadvisor_are_answered() -> Result<()> {
    testkit::require!(require::root(), require::cgroup2());
    testkit::require!(require::program("prometheus"), require::program("promtool"));
    testkit::require!(containerd::programs());
    let containerd = Containerd::start()?;
    let web = containerd.run_pod(&PodSpec::new("shop", "web-0"))?;
    containerd.run_container(
        &web,
        &ContainerSpec::new("server", &["serve", "0.0.0.0:80"]),
    )?;
    let connect = ["connect", "127.0.0.1:80", "10", "--hold"];
    containerd.run_container(&web, &ContainerSpec::new("client", &connect))?;
    let endpoint = format!("--cri.endpoint={}", containerd.endpoint());
    let monitor = monitor(&["--discovery=cri", &endpoint])?;
    let prometheus = Prometheus::start(monitor.address())?;
    let limit = Duration::from_secs(20);
    // The first one waits until the connections are there.
    prometheus.query_until(&format!("{} == 20", QUERIES[0].0), limit)?;
    for (query, expected) in QUERIES {
        let series = prometheus.query_until(query, limit)?;
        let [(labels, value)] = &series[..] else {
            anyhow::bail!("{query}: {series:?}");
        };
        ensure!(
            labels["pod"] == "web-0" && value == expected,
            "{query}: {series:?}"
        );
    }
    ensure!(prometheus.last_scrape_error()?.is_empty());

    // cAdvisor's gauges that end in `_total` are all that promtool has against it.
    let text = monitor.get("/metrics")?.text()?;
    let said = promtool_check_metrics(&text)
        .err()
        .context("no word of promtool")?;
    let said = said.to_string();
    let said: Vec<&str> = said.lines().collect();
    let are_odd = |names: &[&str]| {
        let odd = said.iter();
        odd.filter(|line| names.iter().any(|name| line.contains(name)))
            .count()
    };
    let network = are_odd(&["_usage_total ", "_tcp_stats_total "]);
    // Where the layers lie on a file system that counts its inodes.
    let files = are_odd(&["container_fs_inodes_total "]);
    ensure!(network == 5 && network + files == said.len(), "{said:#?}");
    monitor.stop()?;
    Ok(())
}
