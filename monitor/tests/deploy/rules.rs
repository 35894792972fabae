//! Rules in a real server: that each is evaluated without an error, that what is recorded is there,
//! and that alerts tell what they should in words.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::wait;

use crate::files::FULL;
use crate::scene::Scene;

const LIMIT: Duration = Duration::from_secs(30);

/// All rules that the server has, flat.
fn all(data: &Value) -> Vec<&Value> {
    let groups = data["groups"].as_array().map(Vec::as_slice);
    groups
        .unwrap_or_default()
        .iter()
        .filter_map(|group| group["rules"].as_array())
        .flatten()
        .collect()
}

pub(crate) fn every_rule_is_evaluated(scene: &mut Scene) -> Result<()> {
    ensure!(scene.server.is_alive()?);
    wait::until("every rule is evaluated", LIMIT, || {
        let data = scene.server.api("/api/v1/rules")?;
        let rules = all(&data);
        ensure!(rules.len() > 40, "only {} rules", rules.len());
        for rule in &rules {
            let error = rule["lastError"].as_str().unwrap_or_default();
            ensure!(error.is_empty(), "{}: {error}", rule["name"]);
        }
        let done = rules.iter().all(|rule| rule["health"] == "ok");
        Ok(done.then_some(()))
    })
}

pub(crate) fn everything_recorded_is_there(scene: &mut Scene) -> Result<()> {
    let data = scene.server.api("/api/v1/rules?type=record")?;
    let rules = all(&data);
    ensure!(rules.len() > 20);
    for rule in rules {
        let name = rule["name"].as_str().context("no name")?;
        let what = format!("{name} has series");
        wait::until(&what, LIMIT, || {
            Ok((!scene.server.query(name)?.is_empty()).then_some(()))
        })?;
    }
    // The demo leaks fifty, and stands under its own name.
    let leak = "namespace_workload:container_network_tcp_sockets:sum\
        {workload=\"demo-close-wait\",state=\"close_wait\"} >= 10";
    wait::until("the leak is recorded", LIMIT, || {
        Ok((scene.server.query(leak)?.len() == 1).then_some(()))
    })?;
    // Nobody is left out.
    let lost = "abs(sum(namespace_workload:container_network_tcp_sockets:sum{state=\"listen\"}) \
        - sum(container_network_tcp_sockets{state=\"listen\"})) < 1";
    wait::until("the sums are whole", LIMIT, || {
        Ok((scene.server.query(lost)?.len() == 1).then_some(()))
    })
}

/// Every alert's expression without its thresholds finds series: a name or label that is mistyped
/// would find none. What needs a number that this machine does not have is looked at by promtool.
pub(crate) fn every_metric_of_a_rule_exists(scene: &mut Scene) -> Result<()> {
    let data = scene.server.api("/api/v1/rules?type=alert")?;
    let mut selectors = 0;
    for rule in all(&data) {
        let query = rule["query"].as_str().context("no query")?;
        for selector in selectors_of(query) {
            selectors += 1;
            ensure!(
                !scene.server.query(&selector)?.is_empty(),
                "{}: {selector} finds nothing",
                rule["name"]
            );
        }
    }
    ensure!(selectors > 20, "only {selectors} selectors");
    Ok(())
}

/// The metrics of an expression with their matchers, without ranges.
fn selectors_of(query: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(at) = ["container_", "up{"]
        .iter()
        .filter_map(|start| rest.find(start))
        .min()
    {
        rest = &rest[at..];
        let name = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
            .unwrap_or(rest.len());
        let matchers = match rest[name..].strip_prefix('{') {
            // No matcher here has a brace.
            Some(inner) => inner.find('}').map_or(0, |end| end + 2),
            None => 0,
        };
        found.push(rest[..name + matchers].to_owned());
        rest = &rest[name + matchers..];
    }
    found
}

pub(crate) fn alerts_speak(scene: &mut Scene) -> Result<()> {
    // The full accept queue is pending within seconds.
    let alert = wait::until("an accept queue is filling", LIMIT, || {
        let data = scene.server.api("/api/v1/alerts")?;
        let alerts = data["alerts"].as_array().context("no alerts")?;
        let mut of_demo = alerts.iter().filter(|alert| {
            alert["labels"]["alertname"] == "ContainerAcceptQueueFilling"
                && alert["labels"]["container"] == "demo-backlog"
        });
        Ok(of_demo.next().cloned())
    })?;
    let said = |name: &str| alert["annotations"][name].as_str().unwrap_or_default();
    ensure!(
        said("summary") == "The accept queue of demo-backlog at port 8080 is nearly full",
        "{alert}"
    );
    let description = said("description");
    ensure!(
        description.starts_with(
            "112.5% of the accept queue at port 8080 (ipv4) of container \"demo-backlog\" on "
        ),
        "{alert}"
    );
    for annotation in ["summary", "description", "runbook"] {
        let text = said(annotation);
        ensure!(!text.is_empty() && !text.contains("error"), "{text}");
    }
    Ok(())
}

/// An alert on a device says which containers have it mounted.
pub(crate) fn a_full_disk_is_named(scene: &mut Scene) -> Result<()> {
    let names = format!("Mounted by, among others: {FULL} at /");
    let alert = wait::until("a disk is full", LIMIT, || {
        let data = scene.server.api("/api/v1/alerts")?;
        let alerts = data["alerts"].as_array().context("no alerts")?;
        let mut full = alerts.iter().filter(|alert| {
            alert["labels"]["alertname"] == "ContainerFilesystemAlmostFull"
                && alert["annotations"]["description"]
                    .as_str()
                    .is_some_and(|said| said.contains(&names))
        });
        Ok(full.next().cloned())
    })?;
    let device = alert["labels"]["device"].as_str().unwrap_or_default();
    ensure!(device.starts_with("/dev/loop"), "{alert}");
    ensure!(alert["labels"].get("container").is_none(), "{alert}");
    let said = alert["annotations"]["description"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        said.contains(&format!("% of {device} (ext4) on 127.0.0.1:")),
        "{said}"
    );
    ensure!(said.contains("/full;"), "{said}");
    Ok(())
}
