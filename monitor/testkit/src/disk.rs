//! A block device of its own, and what a container's cgroup moves to and from it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::child::output_within;

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(15);

/// One MiB, in bytes.
pub const MIB: u64 = 1 << 20;

/// A loop device of 16 MiB. Dropping it gives it back.
#[derive(Debug)]
pub struct Disk {
    /// Its path below `/dev`.
    pub path: String,
    _folder: TempDir,
}

impl Disk {
    /// Makes one of a file.
    ///
    /// # Errors
    /// Without root's rights, without loop devices, and without `losetup`.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("disk.img");
        std::fs::File::create(&file)?.set_len(16 * MIB)?;
        let mut command = Command::new("losetup");
        command.args(["--find", "--show"]).arg(&file);
        let path = output_within(command, LIMIT)?.trim().to_owned();
        Ok(Self {
            path,
            _folder: folder,
        })
    }

    /// Options of `docker run` that have cgroup v1 count this disk: since Linux 6.10 it counts
    /// only where there is a limit, however high.
    pub fn limits(&self) -> [String; 2] {
        ["read", "write"].map(|way| format!("--device-{way}-bps={}:1tb", self.path))
    }

    /// Writes so many MiB and reads one less, past the page cache, from within the cgroup of the
    /// process `pid`.
    ///
    /// # Errors
    /// When the cgroup cannot be entered, or `dd` fails.
    pub fn transfer(&self, pid: u32, mib: u64) -> Result<()> {
        let (folder, _) = cgroup_of(pid)?;
        let script = format!(
            "echo $$ > {folder}/cgroup.procs
             dd if=/dev/zero of={disk} bs=1M count={mib} oflag=direct status=none
             dd if={disk} of=/dev/null bs=1M count={less} iflag=direct status=none",
            folder = folder.display(),
            disk = self.path,
            less = mib - 1,
        );
        let mut command = Command::new("sh");
        command.args(["-ec", &script]);
        output_within(command, LIMIT)?;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut command = Command::new("losetup");
        command.args(["--detach", &self.path]);
        if let Err(error) = output_within(command, LIMIT) {
            eprintln!("{} is left: {error:#}", self.path);
        }
    }
}

/// The folder of a process's cgroup that counts input and output, and whether it is of version 1.
///
/// # Errors
/// When the process is gone.
pub fn cgroup_of(pid: u32) -> Result<(PathBuf, bool)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let line = |wanted: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':')?.1.split_once(':'))
            .find(|(controllers, _)| controllers.split(',').any(|name| name == wanted))
            .map(|(_, path)| path.trim_start_matches('/').to_owned())
    };
    if let Some(path) = line("blkio") {
        return Ok((PathBuf::from("/sys/fs/cgroup/blkio").join(path), true));
    }
    let path = line("").context("no unified cgroup")?;
    Ok((PathBuf::from("/sys/fs/cgroup").join(path), false))
}
