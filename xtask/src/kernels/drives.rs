//! The drives of the emulated machines, files with file systems that every kernel of the table can
//! mount.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use guest::Drive;
use testkit::child::find_program;

use crate::shell;

/// The files.
#[derive(Debug)]
pub(super) struct Drives {
    folder: PathBuf,
}

impl Drives {
    /// Makes them in a folder, anew. They take next to no room.
    ///
    /// # Errors
    /// Without the programs that make file systems.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let drives = Self {
            folder: folder.to_owned(),
        };
        for drive in Drive::ALL {
            let path = drives.path(drive);
            let file = File::create(&path).with_context(|| path.display().to_string())?;
            file.set_len(size(drive))?;
            make(drive, &path)?;
        }
        Ok(drives)
    }

    /// A drive's file.
    pub(super) fn path(&self, drive: Drive) -> PathBuf {
        self.folder.join(format!("drive-{}.img", drive.name()))
    }
}

/// Bytes of a drive. XFS is made of no less.
fn size(drive: Drive) -> u64 {
    let mib = match drive {
        Drive::Blank => 16,
        Drive::Ext4 => 32,
        Drive::Xfs => 320,
    };
    mib << 20
}

/// Makes the file system of a drive, if it has one.
fn make(drive: Drive, path: &Path) -> Result<()> {
    let (name, ways): (_, &[&[&str]]) = match drive {
        Drive::Blank => return Ok(()),
        Drive::Ext4 => (
            "mkfs.ext4",
            &[&["-O", "quota,project", "-E", "quotatype=prjquota"]],
        ),
        // What the oldest kernel of the table knows: as the package describes it, which in some
        // versions of it is no valid description, or by the names of what is newer.
        Drive::Xfs => (
            "mkfs.xfs",
            &[
                &["-c", "options=/usr/share/xfsprogs/mkfs/lts_5.10.conf"],
                &["-m", "bigtime=0,inobtcount=0", "-i", "nrext64=0"],
            ],
        ),
    };
    let program = find_program(name).with_context(|| format!("there is no {name}"))?;
    let run = |arguments: &&[&str]| {
        let mut command = Command::new(&program);
        shell::output(command.arg("-q").args(*arguments).arg(path))
    };
    let (last, others) = ways.split_last().context("no way to make it")?;
    if !others.iter().any(|way| run(way).is_ok()) {
        run(last)?;
    }
    Ok(())
}
