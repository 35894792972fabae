//! The drives that the machine was given, by their names.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use guest::Drive;

use super::mounts::Mounted;
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
pub(crate) struct Mount {
    mounted: Mounted,
    /// Its block device.
    pub(crate) device: PathBuf,
}

impl Mount {
    /// Mounts the file system on a drive.
    ///
    /// # Errors
    /// [`Absent`] where the kernel has no such file system.
    pub(crate) fn new(drive: Drive) -> Result<Self> {
        let device = device(drive)?;
        let kind = drive.name();
        let known = std::fs::read_to_string("/proc/filesystems")?;
        if !known.split_whitespace().any(|known| known == kind) {
            return Err(Absent(format!("no {kind}")).into());
        }
        let place = Path::new("/").join(format!("mounted-{kind}"));
        let mounted = Mounted::of(&device, kind, place, Some("prjquota"))?;
        Ok(Self { mounted, device })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.mounted.path()
    }
}
