//! Asking one mount of a container how full it is.
//!
//! The container may have put anything at a mount point since its `mountinfo` was read, and a
//! container that is up to no good will. So the path is walked from the container's own root, no
//! symbolic link is followed on the way, and what it led to must be the very mount that was meant.
//! Descriptors are opened with `O_PATH`, which opens no device and wakes no automounter, and are
//! closed before the function returns, so that nothing here keeps a file system mounted.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, StatVfs, Statx, StatxFlags, fstatvfs, openat,
    openat2, statx,
};
use rustix::io::Errno;

use super::table::Listed;
use crate::procfs::Process;

/// How full a file system is (statvfs(3)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All space, in bytes.
    pub size: u64,
    /// Free space, in bytes.
    pub free: u64,
    /// Free space that is not kept for root, in bytes.
    pub avail: u64,
    /// Inodes; `None` for a file system that does not count them.
    pub files: Option<u64>,
    /// Free inodes.
    pub files_free: Option<u64>,
}

impl From<StatVfs> for Usage {
    fn from(all: StatVfs) -> Self {
        let bytes = |blocks: u64| blocks.saturating_mul(all.f_frsize);
        let counts_files = all.f_files > 0;
        Self {
            size: bytes(all.f_blocks),
            free: bytes(all.f_bfree),
            avail: bytes(all.f_bavail),
            files: counts_files.then_some(all.f_files),
            files_free: counts_files.then_some(all.f_ffree),
        }
    }
}

/// Why there is no [`Usage`].
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The mount is gone, something covers it, or its process has exited.
    #[error("it is not there any more")]
    Gone,
    /// It has no room of its own: a single file, or a file system without blocks.
    #[error("it has no room of its own")]
    Roomless,
    /// A folder on the way to it, or a FUSE that is its user's own, lets nobody else look. That is
    /// no fault of the file system.
    #[error("it may not be looked at")]
    Denied,
    /// The way to it fails, which is no fault of the file system either.
    #[error("it cannot be reached: {0}")]
    Unreachable(io::Error),
    /// The file system fails.
    #[error(transparent)]
    Failed(io::Error),
}

impl AskError {
    /// What an error on the way to a mount means.
    fn on_the_way(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::SRCH | Errno::NOTDIR | Errno::LOOP | Errno::XDEV => Self::Gone,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            other => Self::Unreachable(other.into()),
        }
    }

    /// What an error of the mount itself means.
    fn of_it(error: Errno) -> Self {
        match error {
            Errno::ACCESS | Errno::PERM => Self::Denied,
            other => Self::Failed(other.into()),
        }
    }

    /// Whether the file system may be asked in another place where it is mounted.
    pub fn is_of_this_mount(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

/// A container's root folder, opened for as long as it is asked.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// The root of the container that `process` is of.
    ///
    /// # Errors
    /// The process is gone, or may not be looked into.
    pub fn open(process: &Process) -> Result<Self, AskError> {
        let root = process.open_root().map_err(|error| {
            Errno::from_io_error(&error).map_or(AskError::Unreachable(error), AskError::on_the_way)
        });
        root.map(Self)
    }
}

/// Asks `mount` of a container.
///
/// # Errors
/// See [`AskError`].
pub fn ask(root: &Root, mount: &Listed) -> Result<Usage, AskError> {
    let folder = open(root, mount)?;
    let all = fstatvfs(&folder).map_err(AskError::of_it)?;
    if all.f_blocks == 0 {
        return Err(AskError::Roomless);
    }
    Ok(all.into())
}

/// Whether `mount` is a folder, found out without asking the file system how full it is.
///
/// # Errors
/// See [`AskError`].
pub fn check(root: &Root, mount: &Listed) -> Result<(), AskError> {
    open(root, mount).map(drop)
}

/// The root of `mount`.
fn open(root: &Root, mount: &Listed) -> Result<OwnedFd, AskError> {
    let found = open_beneath(&root.0, &mount.point).map_err(AskError::on_the_way)?;
    let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::MNT_ID;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let stat = statx(&found, c"", flags, wanted).map_err(AskError::of_it)?;
    if !is_meant(&stat, mount) {
        return Err(AskError::Gone);
    }
    match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::Directory => Ok(found),
        _ => Err(AskError::Roomless),
    }
}

/// Whether `mount` is what was found.
fn is_meant(stat: &Statx, mount: &Listed) -> bool {
    if stat.stx_mask & StatxFlags::MNT_ID.bits() != 0 {
        return stat.stx_mnt_id == mount.id;
    }
    // Before Linux 5.8 only the device can be told, and some have another for each folder.
    let device = mount.key.device;
    !mount.has_own_device
        || (stat.stx_dev_major, stat.stx_dev_minor) == (device.major, device.minor)
}

/// Opens the absolute path `path` below `root`, which nothing on the way can lead out of: no link
/// is followed, and there is no `..` in a mount point.
fn open_beneath(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, path, flags, Mode::empty(), resolve) {
        // Before Linux 5.6, or in a sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => walk_beneath(root, path),
        result => result,
    }
}

/// The same, a folder at a time.
fn walk_beneath(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut current = openat(root, c".", flags | OFlags::DIRECTORY, Mode::empty())?;
    let mut names = path
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
        .peekable();
    while let Some(name) = names.next() {
        if name == b".." {
            return Err(Errno::LOOP);
        }
        let kind = match names.peek() {
            Some(_) => OFlags::DIRECTORY,
            None => OFlags::empty(),
        };
        current = openat(current.as_fd(), name, flags | kind, Mode::empty())?;
    }
    Ok(current)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::CWD;

    use super::super::table::{Rules, SlowPlaces, listed};
    use super::*;

    fn tree() -> (tempfile::TempDir, OwnedFd) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b c")).unwrap();
        std::fs::write(folder.path().join("a/file"), "").unwrap();
        symlink("/etc", folder.path().join("a/out")).unwrap();
        symlink("b c", folder.path().join("a/within")).unwrap();
        let root = openat(CWD, folder.path(), OFlags::PATH, Mode::empty()).unwrap();
        (folder, root)
    }

    /// Both ways to walk agree.
    #[test]
    fn no_link_is_followed_whichever_way() {
        let (_folder, root) = tree();
        for walk in [open_beneath, walk_beneath] {
            for path in ["/", "/a", "/a/b c", "/a/file"] {
                assert!(walk(&root, path.as_bytes()).is_ok(), "{path}");
            }
            for path in [
                "/a/out/passwd",
                "/a/within/x",
                "/a/file/x",
                "/none",
                "/a/none",
            ] {
                let error = walk(&root, path.as_bytes()).unwrap_err();
                assert!(
                    matches!(AskError::on_the_way(error), AskError::Gone),
                    "{path}: {error}"
                );
            }
        }
        // The last component may be a link: then it is the link itself, which is no folder.
        assert!(walk_beneath(&root, b"/a/../..").is_err());
    }

    /// The mount of a folder, as if it were mounted at `point` below it.
    fn mount(folder: &std::path::Path, point: &str) -> Listed {
        let found = openat(CWD, folder, OFlags::PATH, Mode::empty()).unwrap();
        let wanted = StatxFlags::MNT_ID | StatxFlags::BASIC_STATS;
        let stat = statx(&found, c"", AtFlags::EMPTY_PATH, wanted).unwrap();
        let text = format!(
            "{} 1 {}:{} / {point} rw - ext4 source rw\n",
            stat.stx_mnt_id, stat.stx_dev_major, stat.stx_dev_minor
        );
        let (mounts, _) =
            listed(text.as_bytes(), &Rules::default(), &SlowPlaces::default()).unwrap();
        mounts.into_iter().next().unwrap()
    }

    /// Whatever a container puts in the place of a folder on the way, the mount that a link leads
    /// to is not taken for the one that was meant, even where it is the very same.
    #[test]
    fn a_link_on_the_way_leads_nowhere() {
        let (folder, root) = tree();
        let root = Root(root);
        std::fs::create_dir(folder.path().join("a/b c/mount")).unwrap();
        for (point, leads) in [
            ("/a/b\\040c/mount", true),
            ("/a/within/mount", false),
            ("/a/out", false),
            ("/a/none", false),
        ] {
            let found = ask(&root, &mount(folder.path(), point));
            assert_eq!(found.is_ok(), leads, "{point}: {found:?}");
        }
        let file = ask(&root, &mount(folder.path(), "/a/file"));
        assert!(matches!(file, Err(AskError::Roomless)), "{file:?}");
        let mut other = mount(folder.path(), "/a");
        other.id += 1;
        assert!(matches!(ask(&root, &other), Err(AskError::Gone)));
    }

    #[test]
    fn before_mounts_had_ids_devices_tell() {
        let (folder, root) = tree();
        let wanted = StatxFlags::BASIC_STATS;
        let mut stat = statx(&root, c"", AtFlags::EMPTY_PATH, wanted).unwrap();
        stat.stx_mask &= !StatxFlags::MNT_ID.bits();
        let mut meant = mount(folder.path(), "/a");
        meant.id += 1;
        meant.has_own_device = true;
        assert!(is_meant(&stat, &meant));
        meant.key.device.minor += 1;
        assert!(!is_meant(&stat, &meant));
        meant.has_own_device = false;
        assert!(is_meant(&stat, &meant));
    }

    /// A path that is too long, or a process that cannot be looked into, is no fault of the disk.
    #[test]
    fn what_fails_on_the_way_is_not_the_file_system_s() {
        for error in [Errno::NAMETOOLONG, Errno::MFILE, Errno::IO] {
            let error = AskError::on_the_way(error);
            assert!(error.is_of_this_mount(), "{error}");
        }
        assert!(!AskError::of_it(Errno::IO).is_of_this_mount());
    }
}
