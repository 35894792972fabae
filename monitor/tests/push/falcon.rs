//! open-falcon, by the rules of its transfer.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use testkit::metrics::Metrics;
use testkit::receiver::{Received, Receiver, Reply};
use testkit::{require, wait};

use crate::{SOON, Series, compare, monitor, quiet, received, scraped};

/// The values of the original tool.
const ORIGINAL: [&str; 5] = [
    "container_network_tcp_curr_estab",
    "container_network_sockets_inuse",
    "container_network_tcp_time_wait_sockets",
    "container_network_sockets_used",
    "container_monitor_host_tcp_orphan_sockets",
];

/// Reads a push as the transfer does, and refuses what it would count as invalid.
fn items(request: &Received) -> Result<Vec<(Series, f64, String)>> {
    ensure!(request.target == "POST /v1/push", "{}", request.target);
    let items: Vec<Value> = serde_json::from_slice(&request.body)?;
    items.iter().map(item).collect()
}

fn item(item: &Value) -> Result<(Series, f64, String)> {
    let text = |name: &str| {
        item[name]
            .as_str()
            .with_context(|| format!("{name}: {item}"))
    };
    let (metric, tags) = (text("metric")?, text("tags")?);
    ensure!(!metric.is_empty() && metric != "kernel.hostname");
    ensure!(text("endpoint")? == "node-1");
    ensure!(metric.len() + tags.len() <= 510, "too long: {item}");
    ensure!(item["step"].as_i64() == Some(60), "{item}");
    ensure!(
        item["timestamp"]
            .as_i64()
            .is_some_and(|time| time > 1_700_000_000)
    );
    let kind = text("counterType")?;
    ensure!(matches!(kind, "COUNTER" | "GAUGE"), "{item}");
    let value = item["value"].as_f64().context("no number")?;
    let mut labels = BTreeMap::new();
    ensure!(!tags.contains(' '));
    for tag in tags.split(',').filter(|tag| !tag.is_empty()) {
        let Some((name, value)) = tag.split_once('=') else {
            bail!("no tag: {tag} of {item}");
        };
        labels.insert(name.to_owned(), value.to_owned());
    }
    Ok(((metric.to_owned(), labels), value, kind.to_owned()))
}

fn kind<'a>(metrics: &'a Metrics, name: &str) -> &'a str {
    metrics.types.get(name).map_or("", String::as_str)
}

#[test]
fn a_push_shows_what_a_scrape_shows() -> Result<()> {
    testkit::require!(require::root());
    let (netns, _listeners) = quiet("push-falcon")?;
    let receiver = Receiver::start(|_, _| Reply::Status(200, "", b"success".to_vec()))?;
    let url = format!("--falcon.url={}", receiver.url());
    let monitor = monitor(&[&url, "--falcon.endpoint=node-1"])?;
    monitor.wait_ready()?;
    received(&receiver)?;
    let sent = "container_monitor_falcon_sent_total";
    let metrics = wait::until("all that was pushed is counted", SOON, || {
        let metrics = monitor.metrics()?;
        let mut pushed = 0;
        for request in receiver.received() {
            pushed += items(&request)?.len();
        }
        Ok((metrics.value(sent, &[])? == pushed as f64).then_some(metrics))
    })?;
    let container = metrics.container_in(netns.inode())?;
    let mut pushed = BTreeMap::new();
    let mut names = Vec::new();
    for request in receiver.received() {
        for (series, value, counter_type) in items(&request)? {
            ensure!(counter_type == kind(&metrics, &series.0).to_uppercase());
            names.push(series.0.clone());
            if series
                .1
                .get("container")
                .is_some_and(|name| name == container)
            {
                ensure!(pushed.insert(series, value).is_none(), "twice");
            }
        }
    }
    for name in ORIGINAL {
        ensure!(names.iter().any(|known| known == name), "no {name}");
    }
    let is_pushed = |name: &str| names.iter().any(|known| known == name);
    compare(&pushed, &scraped(&metrics, container, is_pushed)?)?;
    let listening = [("container", container), ("state", "listen")];
    ensure!(metrics.sum("container_network_tcp_sockets", &listening) == 5.0);
    ensure!(metrics.value("container_monitor_falcon_errors_total", &[])? == 0.0);
    ensure!(metrics.value("container_monitor_falcon_dropped_total", &[])? == 0.0);
    Ok(())
}

/// The daemon ends in time, whatever its receiver does.
#[test]
fn a_receiver_that_says_nothing_holds_nobody() -> Result<()> {
    testkit::require!(require::root());
    let receiver = Receiver::start(|_, _| Reply::Nothing)?;
    let url = format!("--falcon.url={}", receiver.url());
    let monitor = monitor(&[&url, "--falcon.interval=1s"])?;
    monitor.wait_ready()?;
    received(&receiver)?;
    monitor.metrics()?;
    let took = monitor.stop()?;
    ensure!(took.as_secs() < 5, "it took {took:?}");
    Ok(())
}

/// The log names the receiver, without what may be secret, and says once what is wrong, though each
/// answer has another text.
#[test]
fn what_is_wrong_is_said_once() -> Result<()> {
    testkit::require!(require::root());
    let receiver = Receiver::start(|number, _| {
        Reply::Status(500, "", format!("request {number}").into_bytes())
    })?;
    let url = format!("--falcon.url={}/v1/push?token=secret", receiver.url());
    let monitor = monitor(&[&url, "--falcon.endpoint=node-1"])?;
    monitor.wait_ready()?;
    wait::until("a few failures", SOON, || {
        let errors = monitor
            .metrics()?
            .value("container_monitor_falcon_errors_total", &[])?;
        Ok((errors >= 3.0).then_some(()))
    })?;
    let log = monitor.log();
    ensure!(!log.iter().any(|line| line.contains("secret")), "{log:#?}");
    let failed: Vec<_> = log
        .iter()
        .filter(|line| line.contains("push failed"))
        .collect();
    ensure!(failed.len() == 1, "{log:#?}");
    let target = format!("target=\"{}/v1/push\"", receiver.url());
    ensure!(failed[0].contains(&target), "{failed:?}");
    monitor.stop()?;
    Ok(())
}
