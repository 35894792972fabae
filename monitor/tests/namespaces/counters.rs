//! Every counter that can be raised, at a value of its own: none is published in the place of
//! another.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use testkit::files::{differences, namespace_values};
use testkit::metrics::{Metrics, Sample};
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::require;
use testkit::stir::{RAISED, faults, stir};

use crate::monitor;

/// A monitor that takes counters from `source` and publishes all fields, and its first scrape.
fn scrape(source: &str) -> Result<(Monitor, Metrics)> {
    let fields = "--collector.netstat.fields=^(Tcp|TcpExt|Udp|Udp6)_";
    let monitor = monitor(&["--collector.counters", source, fields])?;
    let metrics = monitor.metrics()?;
    let in_use = metrics.value("container_monitor_counters_source", &[("source", source)])?;
    ensure!(in_use == 1.0, "{source} is not used: {:?}", monitor.log());
    Ok((monitor, metrics))
}

#[test]
fn each_counter_is_its_own() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let netns = Netns::new("ns-stir")?;
    stir(&netns)?;
    let mut all = Vec::new();
    for source in ["kernel", "proc"] {
        let before = namespace_values(netns.pid())?;
        let raised = faults(&before, RAISED);
        ensure!(raised.is_empty(), "{}", raised.join("\n"));
        let (monitor, metrics) = scrape(source)?;
        let after = namespace_values(netns.pid())?;
        let labels = [("namespace", ""), ("pod", ""), ("container", "ns-stir")];
        let wrong = differences(&metrics, &labels, &before, &after);
        ensure!(wrong.is_empty(), "{source}:\n{}", wrong.join("\n"));
        monitor.stop()?;
        all.push(of_files(&metrics));
    }
    ensure!(all[0].len() > 150, "only {} values", all[0].len());
    ensure!(all[0] == all[1], "{:?}\n{:?}", all[0], all[1]);
    Ok(())
}

/// What the files show of TCP and UDP, those fields too that have no metric of their own, by
/// metric and family.
fn of_files(metrics: &Metrics) -> BTreeMap<(String, Option<String>), f64> {
    let groups = ["_tcp_", "_tcpext_", "_udp_", "_udp6_"];
    let samples = metrics.labelled(&[("container", "ns-stir")]);
    let counters = samples.iter().filter(|sample| {
        groups.iter().any(|group| sample.name.contains(group)) && sample.name.ends_with("_total")
    });
    let key = |sample: &Sample| (sample.name.clone(), sample.labels.get("family").cloned());
    counters.map(|sample| (key(sample), sample.value)).collect()
}
