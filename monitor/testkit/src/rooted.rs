//! A container without a runtime that has files as others have: a root of two layers, a mount of
//! its own, and a cgroup that counts what it reads and writes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::cgroup::{self, Cgroup};
use crate::disk::Disk;
use crate::netns::Netns;
use crate::{image, wait};

/// How long it may take to be there.
const SOON: Duration = Duration::from_secs(15);

/// Where the controller of cgroup v1 is mounted.
const V1: &str = "/sys/fs/cgroup/blkio";

/// A container. It ends with this.
#[derive(Debug)]
pub struct Rooted {
    // In the order in which they end.
    netns: Netns,
    cgroup: Cgroup,
    disk: Disk,
    folder: TempDir,
}

impl Rooted {
    /// Starts one, with a tmpfs at `/data`.
    ///
    /// # Errors
    /// Without root's rights, overlayfs, or a cgroup that counts input and output.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for name in ["lower/data", "upper", "work", "merged"] {
            std::fs::create_dir_all(folder.path().join(name))?;
        }
        std::fs::copy(image::workload()?, folder.path().join("lower/workload"))?;
        let disk = Disk::new(16 << 20)?;
        let cgroup = counting_cgroup(&disk)?;
        let script = format!(
            "set -e; cd {folder}; mount --make-rprivate /
             mount -t overlay overlay -o lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work merged
             mount -t tmpfs -o size=1m tmpfs merged/data; mkdir merged/proc
             mount -t proc proc merged/proc; exec chroot merged /workload pause",
            folder = folder.path().display(),
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        cgroup.put(&mut command)?;
        let netns = Netns::with_holder(command)?;
        let comm = format!("/proc/{}/comm", netns.pid());
        wait::until("the container runs", SOON, || {
            let comm = std::fs::read_to_string(&comm).context("its script failed")?;
            Ok((comm.trim() == "workload").then_some(()))
        })?;
        Ok(Self {
            netns,
            cgroup,
            disk,
            folder,
        })
    }

    /// The process id of its first process.
    pub fn pid(&self) -> u32 {
        self.netns.pid()
    }

    /// Its name where no runtime tells it.
    pub fn name(&self) -> &str {
        self.cgroup.short_id()
    }

    /// The folder of its writable layer.
    pub fn upper(&self) -> PathBuf {
        self.folder.path().join("upper")
    }

    /// The name of the device that it reads and writes.
    pub fn device(&self) -> &str {
        self.disk.name()
    }

    /// Writes so many MiB to its device, and reads as many.
    ///
    /// # Errors
    /// When the device does not take them: it has 16.
    pub fn transfer(&self, mib: u64) -> Result<()> {
        self.disk.transfer(self.cgroup.path(), mib, mib)
    }

    /// Writes a file into its writable layer, and one into its mount.
    ///
    /// # Errors
    /// When it has ended.
    pub fn write(&self, name: &str, bytes: usize) -> Result<()> {
        let root = Path::new("/proc").join(self.pid().to_string()).join("root");
        std::fs::write(root.join(name), vec![1; bytes])?;
        std::fs::write(root.join("data").join(name), vec![1; bytes])?;
        Ok(())
    }
}

/// A cgroup that counts what is done to `disk`.
fn counting_cgroup(disk: &Disk) -> Result<Cgroup> {
    if Path::new(V1).is_dir() {
        let cgroup = Cgroup::docker_below(Path::new(V1))?;
        let device = std::fs::read_to_string(format!("/sys/block/{}/dev", disk.name()))?;
        // Since Linux 6.10 only what has a limit is counted, however high it is.
        for limit in ["read_bps_device", "write_bps_device"] {
            let file = cgroup.path().join(format!("blkio.throttle.{limit}"));
            std::fs::write(file, format!("{} {}", device.trim(), 1u64 << 40))?;
        }
        return Ok(cgroup);
    }
    let root = cgroup::root().context("there is no cgroup2")?;
    let cgroup = Cgroup::docker()?;
    for parent in [root, cgroup.path().parent().unwrap_or(root)] {
        std::fs::write(parent.join("cgroup.subtree_control"), "+io")?;
    }
    Ok(cgroup)
}
