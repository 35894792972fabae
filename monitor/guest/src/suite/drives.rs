//! The drives that the machine was given, by their names.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use guest::Drive;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::report::Absent;

/// The block device of a drive.
///
/// # Errors
/// [`Absent`] where the kernel has no driver for it.
pub(crate) fn device(drive: Drive) -> Result<PathBuf> {
    let absent = || Absent("no virtio_blk".to_owned());
    let entries = std::fs::read_dir("/sys/block").context("/sys/block")?;
    let mut disks = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let disk = disks.find(|disk| {
        let serial = std::fs::read_to_string(disk.join("serial"));
        serial.is_ok_and(|serial| serial.trim() == drive.name())
    });
    let disk = disk.ok_or_else(absent)?;
    Ok(Path::new("/dev").join(disk.file_name().context("a disk without a name")?))
}

/// A drive that is mounted, with project quotas enforced. Dropping it unmounts it.
#[derive(Debug)]
pub(crate) struct Mounted {
    /// Where.
    pub(crate) path: PathBuf,
    /// Its block device.
    pub(crate) device: PathBuf,
}

impl Mounted {
    /// Mounts the file system on a drive.
    ///
    /// # Errors
    /// [`Absent`] where the kernel has no such file system.
    pub(crate) fn new(drive: Drive) -> Result<Self> {
        let device = device(drive)?;
        let kind = drive.name();
        let path = Path::new("/").join(format!("mounted-{kind}"));
        std::fs::create_dir_all(&path)?;
        let known = std::fs::read_to_string("/proc/filesystems")?;
        if !known.split_whitespace().any(|known| known == kind) {
            return Err(Absent(format!("no {kind}")).into());
        }
        mount(&device, &path, kind, MountFlags::empty(), Some(c"prjquota"))
            .with_context(|| format!("cannot mount {kind}"))?;
        Ok(Self { path, device })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.path, UnmountFlags::empty()) {
            eprintln!("cannot unmount {}: {error}", self.path.display());
        }
    }
}
