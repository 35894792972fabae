//! Containers with file systems of all kinds: one of a real Docker, with a writable layer and a disk
//! that it uses, and one with a tmpfs and a disk that is full.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use testkit::disk::Disk;
use testkit::dockerd::{Dockerd, PROGRAMS};
use testkit::netns::Netns;
use testkit::{require, wait};

/// The container whose disk is full.
pub(crate) const FULL: &str = "deploy-files";

/// How long it may take to be set.
const LIMIT: Duration = Duration::from_secs(15);

/// What all of it needs.
pub(crate) fn needs() -> require::Need {
    let others = ["losetup", "mkfs.ext4", "mount", "unshare"];
    PROGRAMS
        .iter()
        .chain(&others)
        .try_for_each(|name| require::program(name))
}

#[derive(Debug)]
pub(crate) struct Files {
    // It has copies of Docker's mounts, and ends before them.
    _full: Netns,
    _folder: TempDir,
    _docker: Dockerd,
    _disk: Disk,
}

impl Files {
    pub(crate) fn start() -> Result<Self> {
        let docker = Dockerd::start()?;
        let disk = Disk::new()?;
        let limits = disk.limits();
        docker.run("files", &limits.each_ref().map(String::as_str), &["pause"])?;
        disk.transfer(docker.pid("files")?, 2)?;
        let folder = tempfile::tempdir()?;
        Ok(Self {
            _full: full(&folder)?,
            _docker: docker,
            _disk: disk,
            _folder: folder,
        })
    }
}

/// A process in network and mount namespaces of its own, named after the command.
fn full(folder: &TempDir) -> Result<Netns> {
    let script = format!(
        "set -e; cd {folder}; mount --make-rprivate /
         truncate -s 4M disk.img; mkfs.ext4 -q -m 0 disk.img
         mkdir full scratch; mount -o loop disk.img full; mount -t tmpfs -o size=1m tmpfs scratch
         dd if=/dev/zero of=full/fill bs=4096 status=none 2>/dev/null || true
         ln -s \"$(command -v sleep)\" {FULL}; exec ./{FULL} infinity",
        folder = folder.path().display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let netns = Netns::with_holder(command)?;
    let comm = format!("/proc/{}/comm", netns.pid());
    wait::until("the disk is full", LIMIT, || {
        let comm = std::fs::read_to_string(&comm).context("the script failed")?;
        Ok((comm.trim() == FULL).then_some(()))
    })?;
    Ok(netns)
}
