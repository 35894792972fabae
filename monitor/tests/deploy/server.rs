//! A real Prometheus with the rules of `deploy/`, as deployed, but scraping and evaluating every
//! second.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use testkit::prometheus::Prometheus;

use crate::{deploy, text};

/// Starts one with the configuration of the compose project, for which `target` stands in the
/// place of its exporter.
pub(crate) fn start(target: SocketAddr) -> Result<Prometheus> {
    let shipped = text("compose/prometheus.yml")?;
    let config = shipped
        .replace("15s", "1s")
        .replace("container-monitor:10042", &target.to_string());
    ensure!(config.contains(&target.to_string()) && config != shipped);
    with_config(&config)
}

/// Starts one with this configuration.
pub(crate) fn with_config(config: &str) -> Result<Prometheus> {
    let rules = deploy("prometheus/rules").canonicalize()?;
    Prometheus::with_config(config, &[("rules", &rules)])
}
