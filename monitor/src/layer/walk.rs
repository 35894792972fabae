//! Adding up a folder as `du` does, whatever happens in it meanwhile.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

/// Deepest folder that is looked into: each one above it is kept open meanwhile, and of what is
/// deeper there is no sum.
const DEEPEST: usize = 1_000;

/// Most inodes with several names that are remembered, so that each counts once; beyond them
/// they count at every name.
const MOST_LINKS: usize = 1 << 18;

/// What is in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of disk that it takes, itself included, as `du -s --block-size=1`.
    pub bytes: u64,
    /// Inodes in it, itself left out, hard links counted once.
    pub files: u64,
}

/// What of a folder is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Whole,
    /// What is beside the layer in it that has this inode number: without inodes of several names,
    /// which the layer counts. Overlayfs gives the layer a second name of what is in its work
    /// folder: of its whiteout, and of all inodes where it has an index.
    Beside {
        /// The inode number of the layer.
        layer: u64,
        /// Whether an empty folder takes no blocks: then one that a mount covers, as a runtime's
        /// does that of the container's root, is known to be an inode and no more. Else there is
        /// no sum.
        empty_is_free: bool,
    },
}

/// Adds up what is in `root`, as far as `scope` says, in one go: see [`Walk`].
///
/// # Errors
/// As [`Walk::new`] and [`Walk::go_on`].
pub fn walk(
    root: OwnedFd,
    scope: Scope,
    go_on: impl FnMut() -> bool,
) -> io::Result<Option<Totals>> {
    Walk::new(root, scope)?.go_on(go_on)
}

/// Adding up a folder, which can be left and gone on with.
///
/// Links are not followed and other file systems not entered. What vanishes meanwhile does not
/// count, and what comes may or may not.
#[derive(Debug)]
pub struct Walk {
    scope: Scope,
    top: Stat,
    totals: Totals,
    links: HashSet<u64>,
    /// The folders from the first one down to where it is.
    folders: Vec<Dir>,
    deepest: usize,
}

impl Walk {
    /// Begins with `root`, of which `scope` is added up.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn new(root: OwnedFd, scope: Scope) -> io::Result<Self> {
        let top = fstat(&root)?;
        Ok(Self {
            scope,
            totals: Totals {
                bytes: blocks(&top),
                files: 0,
            },
            top,
            links: HashSet::new(),
            folders: vec![Dir::new(root)?],
            deepest: DEEPEST,
        })
    }

    /// Goes on to the end, or until `go_on`, which is asked after each entry and may take its time,
    /// says no: then there is no sum yet.
    ///
    /// # Errors
    /// A folder in it may not be read, something fails, or it is too deep: part of a sum is worse
    /// than none.
    pub fn go_on(&mut self, mut go_on: impl FnMut() -> bool) -> io::Result<Option<Totals>> {
        while let Some(folder) = self.folders.last_mut() {
            let name = match folder.read() {
                Some(Ok(entry)) => CString::from(entry.file_name()),
                // A folder that was removed while it was read, but for the first: that is missed.
                Some(Err(error)) if self.folders.len() == 1 || !is_gone(error) => {
                    return Err(error.into());
                }
                Some(Err(_)) | None => {
                    self.folders.pop();
                    continue;
                }
            };
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.add(&name)?;
            if !go_on() {
                return Ok(None);
            }
        }
        Ok(Some(self.totals))
    }

    /// Counts what is called `name` in the folder where it is, and enters it if it is one too.
    fn add(&mut self, name: &CStr) -> io::Result<()> {
        let Some(folder) = self.folders.last() else {
            return Ok(());
        };
        let stat = match statat(folder.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(error) if is_gone(error) => return Ok(()),
            result => result?,
        };
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let has_names = !is_folder && stat.st_nlink > 1;
        let links = &mut self.links;
        let is_other_s = match self.scope {
            Scope::Whole => has_names && links.len() < MOST_LINKS && !links.insert(stat.st_ino),
            Scope::Beside { layer, .. } => has_names || stat.st_ino == layer,
        };
        if is_other_s {
            return Ok(());
        }
        if stat.st_dev != self.top.st_dev {
            return match self.scope {
                Scope::Whole => Ok(()),
                Scope::Beside {
                    empty_is_free: true,
                    ..
                } => {
                    self.totals.files += 1;
                    Ok(())
                }
                Scope::Beside { .. } => Err(io::Error::other("a mount covers a folder")),
            };
        }
        self.totals.bytes += blocks(&stat);
        self.totals.files += 1;
        if !is_folder {
            return Ok(());
        }
        if self.folders.len() == self.deepest {
            let deepest = self.deepest;
            let error = format!("it has folders more than {deepest} deep, which is too deep");
            return Err(io::Error::other(error));
        }
        match open(folder, name) {
            Ok(below) => self.folders.push(below),
            Err(error) if is_gone(error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Whether an error says that something is gone, or something else by now.
fn is_gone(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE
    )
}

/// Opens a folder within another one, and never what a link leads to.
fn open(parent: &Dir, name: &CStr) -> Result<Dir, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let parent = parent.fd()?;
    // Only the owner, or one with the right to act as such, may leave the access time as it is.
    let folder = openat(parent, name, flags | OFlags::NOATIME, Mode::empty()).or_else(|error| {
        if error == Errno::PERM {
            openat(parent, name, flags, Mode::empty())
        } else {
            Err(error)
        }
    });
    Dir::new(folder?)
}

/// Bytes of disk that an inode takes: its blocks are of 512 bytes on every file system.
fn blocks(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or_default() * 512
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn sum(path: &Path) -> Option<Totals> {
        let root = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        walk(root.unwrap(), Scope::Whole, || true).unwrap()
    }

    fn du(path: &Path) -> Totals {
        let [bytes, files] = testkit::du::of(path).unwrap().map(|number| number as u64);
        Totals { bytes, files }
    }

    #[test]
    fn as_du_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(sum(path), Some(du(path)));
        fs::create_dir_all(path.join("a/b/c")).unwrap();
        fs::write(path.join("a/data"), vec![1; 300_000]).unwrap();
        fs::hard_link(path.join("a/data"), path.join("a/b/again")).unwrap();
        fs::hard_link(path.join("a/data"), path.join("top")).unwrap();
        symlink("/usr", path.join("a/usr")).unwrap();
        symlink("..", path.join("a/b/up")).unwrap();
        let sparse = fs::File::create(path.join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        for number in 0..2_000 {
            fs::write(path.join(format!("a/b/c/{number}")), "x").unwrap();
        }
        let found = sum(path).unwrap();
        assert_eq!(found, du(path));
        assert_eq!(found.files, 2_000 + 3 + 1 + 2 + 1);
    }

    #[test]
    fn what_is_beside_a_folder() {
        use std::os::unix::fs::MetadataExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir_all(path.join("work/work")).unwrap();
        fs::write(path.join("link"), "x").unwrap();
        let without = sum(path).unwrap();
        fs::create_dir(path.join("diff")).unwrap();
        fs::write(path.join("diff/data"), vec![1; 100_000]).unwrap();
        fs::write(path.join("work/work/whiteout"), "").unwrap();
        fs::hard_link(path.join("work/work/whiteout"), path.join("diff/gone")).unwrap();
        let scope = Scope::Beside {
            layer: fs::metadata(path.join("diff")).unwrap().ino(),
            empty_is_free: false,
        };
        let root = rustix::fs::open(path, OFlags::RDONLY, Mode::empty()).unwrap();
        let beside = walk(root, scope, || true).unwrap();
        assert_eq!(beside.map(|beside| beside.files), Some(without.files));
        assert_eq!(beside, Some(without));
    }

    #[test]
    fn a_walk_ends_when_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..10 {
            fs::write(folder.path().join(number.to_string()), "").unwrap();
        }
        let open = || rustix::fs::open(folder.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        let mut left = 5;
        let mut go_on = || {
            left -= 1;
            left > 0
        };
        assert_eq!(walk(open(), Scope::Whole, &mut go_on).unwrap(), None);
        let file = rustix::fs::open(folder.path().join("1"), OFlags::RDONLY, Mode::empty());
        assert!(walk(file.unwrap(), Scope::Whole, || true).is_err());
    }

    #[test]
    fn a_walk_is_gone_on_with_where_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for number in 0..30 {
            fs::create_dir_all(path.join(format!("{number}/below"))).unwrap();
            fs::write(path.join(format!("{number}/below/file")), "x").unwrap();
        }
        let root = rustix::fs::open(path, OFlags::RDONLY, Mode::empty()).unwrap();
        let mut walk = Walk::new(root, Scope::Whole).unwrap();
        let mut turns = 0;
        let found = loop {
            turns += 1;
            let mut left = 7;
            let go_on = || {
                left -= 1;
                left > 0
            };
            if let Some(found) = walk.go_on(go_on).unwrap() {
                break found;
            }
        };
        assert_eq!(found, du(path));
        assert_eq!(turns, 90 / 7 + 1);
    }

    /// Part of a sum is none.
    #[test]
    fn what_is_too_deep_has_no_sum() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
        let walk = |deepest| {
            let root = rustix::fs::open(folder.path(), OFlags::RDONLY, Mode::empty()).unwrap();
            let mut walk = Walk::new(root, Scope::Whole).unwrap();
            walk.deepest = deepest;
            walk.go_on(|| true)
        };
        assert_eq!(walk(4).unwrap(), Some(du(folder.path())));
        let error = walk(3).unwrap_err();
        assert!(error.to_string().contains("3 deep"), "{error}");
    }

    /// A folder that is removed and made anew all the time: some sum comes out.
    #[test]
    fn what_changes_meanwhile_is_tolerated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let mut changes = 0;
        let root = rustix::fs::open(&path, OFlags::RDONLY, Mode::empty()).unwrap();
        for number in 0..50 {
            fs::create_dir_all(path.join(format!("{number}/below"))).unwrap();
            fs::write(path.join(format!("{number}/below/file")), "x").unwrap();
        }
        let found = walk(root, Scope::Whole, || {
            let victim = path.join((changes % 50).to_string());
            if changes % 3 == 0 {
                fs::remove_dir_all(&victim).ok();
            } else if changes % 3 == 1 {
                fs::rename(&victim, path.join(format!("moved-{changes}"))).ok();
            }
            changes += 1;
            changes < 10_000
        });
        assert!(found.unwrap().is_some());
        assert_eq!(sum(&path), Some(du(&path)));
    }
}
