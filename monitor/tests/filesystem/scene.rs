//! A container without a runtime: a process in network and mount namespaces of its own, with
//! mounts that end with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use testkit::child::output_within;
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::wait;

use crate::SOON;

/// A container and the folder that its mounts are in.
pub(crate) struct Scene {
    pub(crate) netns: Netns,
    pub(crate) folder: TempDir,
    pub(crate) name: String,
}

impl Scene {
    /// Runs `script`, a piece of shell, in a new container, in a folder that is empty at first.
    pub(crate) fn new(name: &str, script: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // The last command's name is the container's.
        let script = format!(
            "set -e; cd {folder}; mount --make-rprivate /; {script}\n\
             ln -s \"$(command -v sleep)\" {name}; touch ready; exec ./{name} infinity",
            folder = folder.path().display(),
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        let netns = Netns::with_holder(command)?;
        let scene = Self {
            netns,
            folder,
            name: name.to_owned(),
        };
        // The folder itself may be covered by then; the name shows that all is there.
        let comm = format!("/proc/{}/comm", scene.netns.pid());
        wait::until("the scene is set", SOON, || {
            let comm = std::fs::read_to_string(&comm).context("the script failed")?;
            Ok((comm.trim() == name).then_some(()))
        })?;
        Ok(scene)
    }

    /// A path below the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a piece of shell among the container's mounts.
    pub(crate) fn run(&self, script: &str) -> Result<String> {
        let script = format!("cd {}; {script}", self.folder.path().display());
        let mut command = Command::new("nsenter");
        command
            .args(["--mount", "--target", &self.netns.pid().to_string()])
            .args(["sh", "-c", &script]);
        output_within(command, SOON)
    }

    /// A monitor of the container alone, and of those that `more` includes: there are others, of
    /// other tests. It has found them.
    pub(crate) fn monitor(&self, more: &[&str]) -> Result<Monitor> {
        let args = [
            "serve",
            "--discovery=cgroup",
            "--no-collector.transitions",
            "--collector.tcp-states=off",
            "--collector.counters=proc",
        ];
        let exe = env!("CARGO_BIN_EXE_container-monitor");
        let own = format!("--container-include=container=\"{}\"", self.name);
        let monitor = Monitor::start(exe, &[&args[..], &[&*own], more].concat())?;
        monitor.wait_ready()?;
        Ok(monitor)
    }

    /// The values of one family by mount point, with the folder taken off.
    pub(crate) fn values(&self, metrics: &Metrics, family: &str) -> BTreeMap<String, f64> {
        let name = format!("container_filesystem_{family}");
        let samples = metrics.matching(&name, &[("container", &self.name)]);
        let by_point = samples.into_iter().filter_map(|sample| {
            let point = sample.labels.get("mountpoint")?;
            let below = Path::new(point).strip_prefix(self.folder.path()).ok()?;
            Some((below.display().to_string(), sample.value))
        });
        by_point.collect()
    }
}

/// Demands that `check` is true of a scrape within a moment.
pub(crate) fn eventually(
    monitor: &Monitor,
    limit: Duration,
    what: &str,
    check: impl Fn(&Metrics) -> bool,
) -> Result<Metrics> {
    monitor.metrics_when(limit, |metrics| {
        ensure!(check(metrics), "not so: {what}");
        Ok(())
    })
}
