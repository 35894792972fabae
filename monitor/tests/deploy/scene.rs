//! Workloads of all kinds, the exporter that sees them, and the Prometheus that scraped it.

use std::time::Duration;

use anyhow::Result;
use testkit::demo::{self, Demo, KINDS};
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::prometheus::Prometheus;
use testkit::{image, stir, wait};

use crate::files::Files;
use crate::server;

#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) server: Prometheus,
    _monitor: Monitor,
    _demos: Vec<Demo>,
    _files: Files,
    _stirred: Netns,
}

impl Scene {
    pub(crate) fn start() -> Result<Self> {
        let exe = image::workload()?;
        let demos = KINDS
            .into_iter()
            .map(|kind| demo::spawn(&exe, kind))
            .collect::<Result<_>>()?;
        let files = Files::start()?;
        let stirred = Netns::new("deploy-stir")?;
        let args = ["serve", "--discovery", "cgroup", "--host-network"];
        let monitor = Monitor::start(env!("CARGO_BIN_EXE_container-monitor"), &args)?;
        monitor.wait_ready()?;
        let server = server::start(monitor.address())?;
        wait::until("the first scrape", Duration::from_secs(20), || {
            Ok((!server.query("container_network_info")?.is_empty()).then_some(()))
        })?;
        // Every counter rises between two scrapes.
        stir::stir(&stirred)?;
        Ok(Self {
            server,
            _monitor: monitor,
            _demos: demos,
            _files: files,
            _stirred: stirred,
        })
    }
}
