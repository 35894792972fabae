//! Containers with mounts of their own, and the least that asking them can cost.

use std::ffi::CString;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;
use testkit::netns::Netns;
use testkit::wait;

/// Mounts that each container has beside those that it shares with the host's.
pub(super) const EACH: usize = 5;

/// Has a monitor leave out the others, which a container with a root of its own would not have.
pub(super) const ONLY_OWN: &str =
    "--collector.filesystem.mount-points-exclude=^/$|^/(dev|mnt|opt|proc|run|srv|sys)($|/)";

/// How long a container may take to have its mounts.
const SOON: std::time::Duration = std::time::Duration::from_secs(20);

/// A folder with one for each mount, at the same place in every container.
pub(super) fn folder() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for number in 0..EACH {
        fs::create_dir(folder.path().join(number.to_string()))?;
    }
    Ok(folder)
}

/// A process called `name` in network and mount namespaces of its own, with its mounts in
/// `folder`.
pub(super) fn container(name: &str, folder: &TempDir) -> Result<Netns> {
    let script = format!(
        "set -e; mount --make-rprivate /; cd {folder}
         for number in 0 1 2 3 4; do mount -t tmpfs -o size=1m tmpfs $number; done
         ln -s \"$(command -v sleep)\" 0/{name}; exec 0/{name} infinity",
        folder = folder.path().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let netns = Netns::with_holder(command)?;
    let comm = format!("/proc/{}/comm", netns.pid());
    wait::until("the mounts are there", SOON, || {
        let comm = fs::read_to_string(&comm).context("they cannot be mounted")?;
        Ok((comm.trim() == name).then_some(()))
    })?;
    Ok(netns)
}

/// Reads each one's `mountinfo` and calls `statvfs` for its own mounts, nothing else.
pub(super) fn floor(pids: &[u32], folder: &TempDir) -> Result<()> {
    for pid in pids {
        fs::read(format!("/proc/{pid}/mountinfo"))?;
        for number in 0..EACH {
            let path = format!("/proc/{pid}/root{}/{number}", folder.path().display());
            rustix::fs::statvfs(&*CString::new(path)?)?;
        }
    }
    Ok(())
}
