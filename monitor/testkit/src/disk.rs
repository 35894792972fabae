//! A block device of its own, of a file (loop(4)).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::child::output_within;

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(15);

/// A block device. Dropping it gives it back.
#[derive(Debug)]
pub struct Disk {
    path: String,
    _folder: TempDir,
}

impl Disk {
    /// A device of so many bytes, all zero.
    ///
    /// # Errors
    /// Without root's rights, loop devices, or the program `losetup`.
    pub fn new(bytes: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("disk.img");
        std::fs::File::create(&file)?.set_len(bytes)?;
        let mut command = Command::new("losetup");
        command.args(["--find", "--show"]).arg(&file);
        let path = output_within(command, LIMIT)?.trim().to_owned();
        Ok(Self {
            path,
            _folder: folder,
        })
    }

    /// Its path, `/dev/loop7`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its name, `loop7`.
    pub fn name(&self) -> &str {
        self.path.trim_start_matches("/dev/")
    }

    /// Writes and reads so many MiB past the page cache, from within the cgroup whose folder is
    /// given.
    ///
    /// # Errors
    /// When it is smaller, or there is no such cgroup.
    pub fn transfer(&self, cgroup: &Path, write: u64, read: u64) -> Result<()> {
        let script = format!(
            "echo $$ > {cgroup}/cgroup.procs
             dd if=/dev/zero of={disk} bs=1M count={write} oflag=direct status=none
             dd if={disk} of=/dev/null bs=1M count={read} iflag=direct status=none",
            cgroup = cgroup.display(),
            disk = self.path,
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
