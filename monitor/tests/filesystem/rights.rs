//! What the least privileges that `deploy/` has are enough for.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use testkit::monitor::Monitor;
use testkit::require;

use crate::scene::Scene;

/// One mount in a folder that is another user's alone, and the same file system where all may go,
/// before it and after it.
const PRIVATE: &str = "
    mkdir -p private/mount public before; mount -t tmpfs -o size=1m t before
    mount --bind before private/mount; mount --bind before public; chmod 755 .
    chown 1000 private; chmod 700 private";

/// The capabilities that the overlay adds, without their `CAP_`.
fn least() -> Result<Vec<String>> {
    let overlay = "../deploy/kubernetes/overlays/least-privilege/daemonset.yaml";
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(overlay))?;
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("add: ["));
    let names = line.context("it adds none")?.trim_end_matches(']');
    Ok(names.split(", ").map(str::to_lowercase).collect())
}

/// A monitor with these capabilities.
fn monitor(capabilities: &[String]) -> Result<Monitor> {
    let set: String = capabilities
        .iter()
        .map(|name| format!(",+{name}"))
        .collect();
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set", &format!("-all{set}")])
        .arg(env!("CARGO_BIN_EXE_container-monitor"))
        .args(["serve", "--discovery=cgroup", "--web.listen-address"])
        .args(["127.0.0.1:0", "--collector.tcp-states=off"])
        .args(["--no-collector.transitions", "--collector.counters=proc"]);
    let monitor = Monitor::spawn(command)?;
    monitor.wait_ready()?;
    Ok(monitor)
}

#[test]
fn the_least_privileges_are_enough() -> Result<()> {
    testkit::require!(crate::needs(), require::program("setpriv"));
    let scene = Scene::new("cmfsrights", PRIVATE)?;
    let with = least()?;
    let daemon = monitor(&with)?;
    let metrics = daemon.metrics()?;
    let errors = scene.values(&metrics, "device_error");
    let points: Vec<&str> = errors.keys().map(String::as_str).collect();
    ensure!(
        points == ["before", "private/mount", "public"],
        "{errors:?}"
    );
    ensure!(errors.values().all(|error| *error == 0.0), "{errors:?}");
    daemon.stop()?;

    // Without the right to look, that mount has no series, and the other way to it is open.
    let without: Vec<String> = with
        .into_iter()
        .filter(|name| name != "dac_read_search")
        .collect();
    let daemon = monitor(&without)?;
    for _ in 0..2 {
        let metrics = daemon.metrics()?;
        let errors = scene.values(&metrics, "device_error");
        let points: Vec<&str> = errors.keys().map(String::as_str).collect();
        ensure!(points == ["before", "public"], "{errors:?}");
        ensure!(errors.values().all(|error| *error == 0.0), "{errors:?}");
    }
    let log = daemon.log();
    let said = log
        .iter()
        .filter(|line| line.contains("CAP_DAC_READ_SEARCH"));
    ensure!(said.count() == 1, "{log:?}");
    daemon.stop()?;
    Ok(())
}
