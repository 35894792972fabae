//! Scrapes that cannot wait: a collection that hangs, and what is answered meanwhile.

#[path = "../golden/tree.rs"]
#[expect(dead_code, reason = "the golden machine needs more of it")]
mod tree;

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{Mode, OFlags};
use testkit::http::{self, Response};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::require;

use crate::EXE;
use tree::{Process, Tree};

const SUCCESS: &str = "container_monitor_collector_success";

fn scrape(monitor: &Monitor, timeout: &str) -> Result<Response> {
    let fields = [("X-Prometheus-Scrape-Timeout-Seconds", timeout)];
    http::get_with(monitor.address(), "/metrics", &fields)
}

fn success(metrics: &Metrics, collector: &str) -> Result<f64> {
    metrics.value(SUCCESS, &[("collector", collector)])
}

/// A machine of files, in which reading one counter file waits until somebody writes it.
#[test]
fn a_collection_that_hangs_is_answered_in_time_and_goes_on() -> Result<()> {
    testkit::require!(require::root(), require::program("mkfifo"));
    let mut tree = Tree::new()?;
    tree.namespace("web", "6.18")?;
    tree.process(&Process {
        pid: 100,
        comm: b"server",
        netns: "web",
        cgroup: "/user.slice",
        started: 500,
    })?;
    let snmp = tree.root().join("100/net/snmp");
    let text = std::fs::read(&snmp)?;
    let procfs = tree.root();
    let monitor = Monitor::start(
        EXE,
        &[
            "serve",
            "--discovery=cgroup",
            "--no-collector.transitions",
            "--collector.tcp-states=off",
            "--collector.counters=proc",
            "--web.timeout-offset=100ms",
            "--path.procfs",
            procfs.to_str().context("no UTF-8")?,
        ],
    )?;
    monitor.wait_ready()?;
    let whole = Metrics::parse(&scrape(&monitor, "10")?.text()?)?;
    ensure!(success(&whole, "snmp")? == 1.0 && success(&whole, "netstat")? == 1.0);
    let collections = whole.value("container_monitor_collections_total", &[])?;

    std::fs::remove_file(&snmp)?;
    let made = std::process::Command::new("mkfifo").arg(&snmp).status()?;
    ensure!(made.success());
    // One that waits to the end, whoever gives up meanwhile.
    let address = monitor.address();
    let patient = std::thread::spawn(move || http::get(address, "/metrics"));
    for _ in 0..3 {
        let start = Instant::now();
        let answer = scrape(&monitor, "1")?;
        let took = start.elapsed();
        // Not before it had to, and before Prometheus would have given up.
        ensure!(took > Duration::from_millis(800), "after {took:?}");
        let partial = Metrics::parse(&answer.text()?)?;
        ensure!(success(&partial, "discovery")? == 1.0);
        for collector in ["sockstat", "snmp", "netstat"] {
            ensure!(success(&partial, collector)? == 0.0, "{collector}");
        }
        ensure!(partial.value("container_monitor_collections_total", &[])? == collections);
        ensure!(partial.value("container_monitor_network_namespaces", &[])? == 1.0);
    }
    ensure!(monitor.get("/healthz")?.status == 200);
    ensure!(!patient.is_finished());
    // Whoever opens it for writing waits for a reader, of which there is one.
    let fifo = rustix::fs::open(&snmp, OFlags::WRONLY, Mode::empty())?;
    File::from(fifo).write_all(&text)?;
    let late = patient.join().map_err(|_| anyhow::anyhow!("panicked"))??;
    let late = Metrics::parse(&late.text()?)?;
    ensure!(success(&late, "snmp")? == 1.0);
    ensure!(late.value("container_monitor_collections_total", &[])? == collections + 1.0);
    std::fs::remove_file(&snmp)?;
    std::fs::write(&snmp, &text)?;
    let again = Metrics::parse(&scrape(&monitor, "10")?.text()?)?;
    ensure!(success(&again, "snmp")? == 1.0);
    monitor.stop()?;
    Ok(())
}
