//! promtool's word on rules and scrape configurations, and what it does not look at: that every
//! alert has a test that fires it and a section in the runbooks.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use testkit::child::{find_program, output};
use testkit::require;

use crate::{deploy, text, values};

/// The unit tests of rules.
const TESTS: [&str; 7] = [
    "sockets",
    "network",
    "filesystems",
    "layers",
    "host",
    "monitor",
    "recording",
];

fn promtool(args: &[&str], files: &[PathBuf]) -> Result<String> {
    let program = find_program("promtool").context("can't find the program promtool")?;
    output(Command::new(program).args(args).args(files))
}

fn tests() -> Vec<PathBuf> {
    let file = |name| deploy(&format!("prometheus/rules/tests/{name}.yaml"));
    TESTS.into_iter().map(file).collect()
}

#[test]
fn rules_are_valid() -> Result<()> {
    testkit::require!(require::program("promtool"));
    let files =
        ["alerts", "recording"].map(|name| deploy(&format!("prometheus/rules/{name}.yaml")));
    promtool(&["check", "rules", "--lint-fatal"], &files)?;
    Ok(())
}

#[test]
fn rules_pass_their_tests() -> Result<()> {
    testkit::require!(require::program("promtool"));
    // None is forgotten.
    let mut found = 0;
    for entry in std::fs::read_dir(deploy("prometheus/rules/tests"))? {
        ensure!(tests().contains(&entry?.path()));
        found += 1;
    }
    ensure!(found == TESTS.len());
    promtool(&["test", "rules"], &tests())?;
    Ok(())
}

/// A configuration with `discovered` in the place of Kubernetes' service discovery, which Debian
/// builds Prometheus without.
pub(crate) fn without_kubernetes(name: &str, discovered: &str) -> Result<String> {
    let config = text(&format!("prometheus/{name}.yaml"))?;
    let (before, rest) = config
        .split_once("    kubernetes_sd_configs:\n")
        .context("no discovery")?;
    let after = rest
        .find("    relabel_configs:\n")
        .context("no relabelling")?;
    ensure!(
        rest[..after].trim() == "- role: pod\n        namespaces:\n          names: [monitoring]"
    );
    Ok(format!("{before}{discovered}{}", &rest[after..]))
}

#[test]
fn configurations_are_valid() -> Result<()> {
    testkit::require!(require::program("promtool"));
    promtool(&["check", "config"], &[deploy("prometheus/hosts.yaml")])?;
    let folder = tempfile::tempdir()?;
    for name in ["kubernetes", "lean"] {
        let file = folder.path().join(name);
        let discovered = "    static_configs: [{ targets: [\"10.0.0.1:10042\"] }]\n";
        std::fs::write(&file, without_kubernetes(name, discovered)?)?;
        promtool(&["check", "config"], &[file])?;
    }
    // Its rules are mounted beside it.
    let config = folder.path().join("prometheus.yml");
    std::fs::copy(deploy("compose/prometheus.yml"), &config)?;
    std::os::unix::fs::symlink(
        deploy("prometheus/rules").canonicalize()?,
        folder.path().join("rules"),
    )?;
    let said = promtool(&["check", "config"], &[config])?;
    ensure!(said.contains("2 rule files found"), "{said}");
    Ok(())
}

/// Each fires in one test, and has a time at which it does not yet, or a test in which it is silent.
#[test]
fn every_alert_is_tested_and_explained() -> Result<()> {
    let rules = text("prometheus/rules/alerts.yaml")?;
    let tests: String = tests()
        .iter()
        .map(std::fs::read_to_string)
        .collect::<std::io::Result<_>>()?;
    let runbooks = text("runbooks.md")?;
    let blocks: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    ensure!(blocks.len() > 10);
    for block in blocks {
        let name = block.lines().next().unwrap_or_default();
        let fires = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\",");
        ensure!(tests.contains(&fires), "{name} fires in no test");
        let query = format!("- expr: 'ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}'");
        let silent = tests.split(&query).skip(1).any(|after| {
            let after = after.split("- expr").next().unwrap_or_default();
            after.contains("exp_samples: []")
        });
        ensure!(silent, "{name} is silent in no test");
        for field in ["for:", "severity:", "summary:", "description:", "runbook:"] {
            ensure!(
                values(block, field).next().is_some(),
                "{name} has no {field}"
            );
        }
        ensure!(
            runbooks.contains(&format!("\n## {name}\n")),
            "{name} is not in runbooks.md"
        );
    }
    Ok(())
}
