//! A layer's sums from its project quota, where it has one of its own.
//!
//! XFS and ext4 can give a folder a project id that all below it inherits, and keep the sums of
//! each project (`FS_IOC_FSGETXATTR` of `include/uapi/linux/fs.h`; quotactl_fd(2), Linux 5.14).
//! Docker does so for containers with `--storage-opt size=…`: for the folder above the layer, with
//! the layer's work folder in it, so what is beside the layer is taken off.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, fstat, openat};

use super::sys::{self, Project};
use super::walk::{Totals, walk};

/// Most entries beside a layer in its project; more, and the layer is walked instead.
const MOST_BESIDE: u32 = 200;

/// The sums of a layer; `None` where it has no project of its own, or the kernel keeps no sums.
/// `pace` is called for every entry that is looked at.
pub fn totals(layer: &OwnedFd, mut pace: impl FnMut()) -> Option<Totals> {
    let project = own(layer)?;
    let used = sys::usage(layer, project)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat(layer, c"..", flags, Mode::empty()).ok()?;
    if own(&parent) != Some(project) {
        return Some(Totals {
            bytes: used.bytes,
            // The layer's own folder is no part of it.
            files: used.files.checked_sub(1)?,
        });
    }
    let above = openat(&parent, c"..", flags, Mode::empty()).ok()?;
    if own(&above) == Some(project) {
        return None;
    }
    let beside = beside(parent, layer, &mut pace)?;
    Some(Totals {
        bytes: used.bytes.checked_sub(beside.bytes)?,
        files: used.files.checked_sub(beside.files + 1)?,
    })
}

/// The project that a folder gives to what is made in it.
fn own(folder: &OwnedFd) -> Option<u32> {
    match sys::project(folder)? {
        Project { id: 0, .. }
        | Project {
            inherits: false, ..
        } => None,
        Project { id, .. } => Some(id),
    }
}

/// What is in `parent`, itself included in both sums, but for `layer`.
fn beside(parent: OwnedFd, layer: &OwnedFd, pace: &mut impl FnMut()) -> Option<Totals> {
    let skipped = fstat(layer).ok()?.st_ino;
    let mut left = MOST_BESIDE;
    let found = walk(parent, Some(skipped), || {
        pace();
        left -= 1;
        left > 0
    });
    let totals = found.ok()??;
    Some(Totals {
        bytes: totals.bytes,
        files: totals.files + 1,
    })
}
