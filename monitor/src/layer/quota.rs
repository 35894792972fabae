//! A layer's sums from its project quota, where it has one of its own.
//!
//! XFS and ext4 can give a folder a project, which all that is made below it inherits, and keep the
//! sums of each project (`FS_IOC_FSGETXATTR` of `include/uapi/linux/fs.h`; quotactl_fd(2), Linux
//! 5.14). Docker does so for containers with `--storage-opt size=…`: the project is that of the
//! folder above the layer, which has overlayfs's work folder in it too, so what is beside the layer
//! is taken off.

mod sys;

use std::os::fd::OwnedFd;

use rustix::fs::{FsWord, Mode, OFlags, fstat, fstatfs, openat};

use super::walk::{Scope, Totals, walk};

/// `XFS_SUPER_MAGIC` of `include/uapi/linux/magic.h`.
const XFS: FsWord = 0x5846_5342;

/// Most entries beside a layer in its project; with more, the layer is walked instead.
const MOST_BESIDE: u32 = 200;

/// The sums of a layer; `None` where it has no project of its own, or the kernel keeps no sums.
/// `pace` is called for every entry that is looked at.
pub fn totals(layer: &OwnedFd, mut pace: impl FnMut()) -> Option<Totals> {
    let project = sys::project(layer)?;
    let above = parent(layer)?;
    let beside = if sys::project(&above) == Some(project) {
        // A project that reaches higher is of more than this layer.
        if sys::project(&parent(&above)?) == Some(project) {
            return None;
        }
        let mut left = MOST_BESIDE;
        let scope = Scope::Beside {
            layer: fstat(layer).ok()?.st_ino,
            empty_is_free: fstatfs(&above).ok()?.f_type == XFS,
        };
        let found = walk(above, scope, || {
            pace();
            left -= 1;
            left > 0
        });
        let found = found.ok()??;
        Totals {
            bytes: found.bytes,
            // And the folder above itself.
            files: found.files + 1,
        }
    } else {
        Totals::default()
    };
    let used = sys::usage(layer, project)?;
    Some(Totals {
        bytes: used.bytes.checked_sub(beside.bytes)?,
        // The layer's own folder is no part of it.
        files: used.files.checked_sub(beside.files + 1)?,
    })
}

/// The folder above one; `None` where that is of another file system, whose projects are others.
fn parent(folder: &OwnedFd) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = openat(folder, c"..", flags, Mode::empty()).ok()?;
    let device = |folder| Some(fstat(folder).ok()?.st_dev);
    (device(&above)? == device(folder)?).then_some(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where quotas are kept `cargo xtask kernels` proves it.
    #[test]
    fn a_folder_without_a_project_has_no_sums() {
        let folder = tempfile::tempdir().unwrap();
        let folder = rustix::fs::open(folder.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        assert_eq!(totals(&folder, || {}), None);
        assert_eq!(sys::usage(&folder, u32::MAX), None);
    }
}
