//! What `deploy/` has, against the real thing: promtool judges rules and configurations, and a real
//! Prometheus that scraped the real exporter answers every query of rules and dashboards.

mod chart;
mod dashboards;
mod files;
mod manifests;
mod promtool;
mod relabelling;
mod rules;
mod scene;
mod server;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// A file or folder below `deploy/`.
fn deploy(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(path)
}

/// The text of a file below `deploy/`.
fn text(path: &str) -> Result<String> {
    let file = deploy(path);
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// What stands behind `start` in the lines that begin with it, whatever their indentation.
fn values<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .filter_map(move |line| line.trim_start().strip_prefix(start))
        .map(|value| value.trim().trim_matches('\''))
}
