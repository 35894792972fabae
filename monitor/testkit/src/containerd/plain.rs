//! Plain containers, which no pod knows: `ctr` makes them, as nerdctl or BuildKit would.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Containerd, IMAGE};
use crate::child::{find_program, output_within};
use crate::netns;

/// How long a command of `ctr` may take.
const COMMAND: Duration = Duration::from_secs(60);

impl Containerd {
    /// Runs the command line of containerd in one of its namespaces, and gives what it prints,
    /// trimmed.
    ///
    /// # Errors
    /// When it fails, with its standard error, or takes longer than a minute.
    pub fn ctr(&self, namespace: &str, args: &[&str]) -> Result<String> {
        let ctr = find_program("ctr").context("can't find the program ctr")?;
        let mut command = Command::new(ctr);
        command.arg("--address").arg(self.socket());
        command.args(["--namespace", namespace]).args(args);
        Ok(output_within(command, COMMAND)?.trim().to_owned())
    }

    /// Starts a container `id` in the background, in a namespace of containerd such as `default`,
    /// that runs `workload` with `args`, in a network namespace of its own. Gives its process id.
    ///
    /// `lo` is set up after the start, as `ctr` does not: a workload that connects at once is too
    /// early.
    ///
    /// # Errors
    /// When containerd can't start it.
    pub fn run_plain(&self, namespace: &str, id: &str, args: &[&str]) -> Result<u32> {
        self.import(namespace)?;
        let cgroup = format!("/{}/{namespace}/{id}", self.cgroup());
        let runc = self.path("runc").display().to_string();
        // Without it there would be pipes that nobody reads.
        let log = format!("file://{}", self.log_of(namespace, id)?.display());
        let run = ["run", "--detach", "--cgroup", &cgroup];
        let folders = ["--runc-root", &runc, "--log-uri", &log];
        let what = [IMAGE, id, "/workload"];
        self.ctr(namespace, &[&run[..], &folders, &what, args].concat())?;
        let pid = self.plain_pid(namespace, id)?;
        netns::enter(pid, netns::loopback_up)?;
        Ok(pid)
    }

    /// The process id of a plain container's first process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn plain_pid(&self, namespace: &str, id: &str) -> Result<u32> {
        let tasks = self.ctr(namespace, &["task", "list"])?;
        let mut lines = tasks.lines().map(str::split_whitespace);
        let pid = lines.find_map(|mut words| {
            // Its columns: task, pid, status.
            (words.next()? == id).then_some(())?;
            let pid = words.next()?.parse().ok()?;
            (words.next()? == "RUNNING").then_some(pid)
        });
        pid.with_context(|| format!("no task {id} in {namespace}:\n{tasks}"))
    }

    /// Ends and removes a plain container.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn remove_plain(&self, namespace: &str, id: &str) -> Result<()> {
        if self.plain_pid(namespace, id).is_ok() {
            self.ctr(namespace, &["task", "delete", "--force", id])?;
        }
        self.ctr(namespace, &["container", "delete", id])?;
        Ok(())
    }

    /// Where a plain container's output goes.
    fn log_of(&self, namespace: &str, id: &str) -> Result<PathBuf> {
        let folder = self.path("logs").join(namespace);
        std::fs::create_dir_all(&folder)?;
        Ok(folder.join(format!("{id}.log")))
    }

    /// Makes [`IMAGE`] known in a namespace of containerd, unless it is.
    pub(super) fn import(&self, namespace: &str) -> Result<()> {
        let known = self.ctr(namespace, &["image", "list", "--quiet"])?;
        if !known.lines().any(|image| image == IMAGE) {
            let archive = self.path("image.tar").display().to_string();
            self.ctr(namespace, &["image", "import", &archive])?;
        }
        Ok(())
    }
}
