//! Dashboards: that Grafana's import has what it asks for, and that every query of every panel gets
//! data from a server that scraped workloads of all kinds.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::{require, wait};

use crate::scene::Scene;
use crate::{files, rules, text};

const DASHBOARDS: [&str; 3] = ["fleet", "node", "pod"];
const LIMIT: Duration = Duration::from_secs(30);

type Check = fn(&mut Scene) -> Result<()>;

/// One scene for all, since it takes a while to be set.
const CHECKS: [(&str, Check); 6] = [
    ("every rule is evaluated", rules::every_rule_is_evaluated),
    ("recorded", rules::everything_recorded_is_there),
    (
        "every metric of a rule",
        rules::every_metric_of_a_rule_exists,
    ),
    ("alerts speak", rules::alerts_speak),
    ("a full disk is named", rules::a_full_disk_is_named),
    ("every panel has data", every_panel_has_data),
];

#[test]
fn queries_are_answered() -> Result<()> {
    testkit::require!(require::root(), require::program("prometheus"));
    testkit::require!(require::btf(), require::bpf(), files::needs());
    let mut scene = Scene::start()?;
    for (name, check) in CHECKS {
        check(&mut scene).context(name)?;
    }
    Ok(())
}

fn dashboard(name: &str) -> Result<Value> {
    Ok(serde_json::from_str(&text(&format!(
        "grafana/{name}.json"
    ))?)?)
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    value[name].as_array().with_context(|| format!("no {name}"))
}

/// The panels of a dashboard that show something.
fn panels(dashboard: &Value) -> Result<impl Iterator<Item = &Value>> {
    Ok(list(dashboard, "panels")?
        .iter()
        .filter(|panel| panel["type"] != "row"))
}

/// A query with its variables set as "All" sets them.
fn with_variables(query: &str) -> String {
    ["instance", "namespace", "pod", "container"]
        .iter()
        .fold(query.to_owned(), |query, name| {
            query.replace(&format!("${name}"), ".*")
        })
        .replace("$__rate_interval", "1m")
}

fn every_panel_has_data(scene: &mut Scene) -> Result<()> {
    for name in DASHBOARDS {
        for panel in panels(&dashboard(name)?)? {
            for target in list(panel, "targets")? {
                let query = with_variables(target["expr"].as_str().context("no expr")?);
                ensure!(!query.contains('$'), "{query}");
                let what = format!("{name}, {}: {query}", panel["title"]);
                wait::until(&what, LIMIT, || {
                    Ok((!scene.server.query(&query)?.is_empty()).then_some(()))
                })?;
            }
        }
        // The choices of the variables are asked for with label_values().
        for variable in list(&dashboard(name)?["templating"], "list")? {
            let Some(query) = variable["query"]["query"].as_str() else {
                continue;
            };
            let inner = query
                .strip_prefix("label_values(")
                .and_then(|q| q.strip_suffix(')'));
            let (metric, _label) = inner
                .and_then(|inner| inner.rsplit_once(", "))
                .with_context(|| query.to_owned())?;
            let metric = with_variables(metric);
            ensure!(!scene.server.query(&metric)?.is_empty(), "{query}");
        }
    }
    Ok(())
}

#[test]
fn grafana_can_import_them() -> Result<()> {
    let mut uids = BTreeSet::new();
    for name in DASHBOARDS {
        let dashboard = dashboard(name)?;
        for field in ["uid", "title", "description"] {
            ensure!(
                dashboard[field].as_str().is_some_and(|t| !t.is_empty()),
                "{name}: {field}"
            );
        }
        ensure!(
            uids.insert(dashboard["uid"].to_string()),
            "two with one uid"
        );
        // Of whoever imports it: no id of ours, no data source of ours.
        ensure!(dashboard.get("id").is_none() && dashboard["schemaVersion"].is_u64());
        let variables = list(&dashboard["templating"], "list")?;
        ensure!(variables[0]["name"] == "datasource" && variables[0]["type"] == "datasource");
        let (mut ids, mut places) = (BTreeSet::new(), Vec::new());
        for panel in list(&dashboard, "panels")? {
            let title = &panel["title"];
            ensure!(
                ids.insert(panel["id"].as_u64().context("no id")?),
                "{title}: its id"
            );
            let at = |side: &str| panel["gridPos"][side].as_u64().context("no place");
            let (x, y, w, h) = (at("x")?, at("y")?, at("w")?, at("h")?);
            ensure!(x + w <= 24, "{title} is too wide");
            let apart = |&(x2, y2, w2, h2): &(u64, u64, u64, u64)| {
                x + w <= x2 || x2 + w2 <= x || y + h <= y2 || y2 + h2 <= y
            };
            ensure!(places.iter().all(apart), "{title} lies upon another");
            places.push((x, y, w, h));
        }
        for panel in panels(&dashboard)? {
            let title = &panel["title"];
            ensure!(panel["datasource"]["uid"] == "${datasource}", "{title}");
            ensure!(
                panel["description"].as_str().is_some_and(|t| !t.is_empty()),
                "{title}"
            );
            ensure!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{title}"
            );
            ensure!(!list(panel, "targets")?.is_empty(), "{title}");
        }
    }
    Ok(())
}
