//! Names for containers that no runtime named: the entries of `/run/netns`, and how names are made
//! unique.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, open, openat, statat};
use tracing::debug;

use crate::procfs::ProcFs;

/// The names of `ip netns`, read when the first one is asked for.
pub(super) struct NetnsNames {
    root: PathBuf,
    by_inode: Option<HashMap<u64, String>>,
}

impl NetnsNames {
    pub(super) fn new(procfs: &ProcFs) -> Self {
        Self {
            root: procfs.root().to_owned(),
            by_inode: None,
        }
    }

    /// The name under `/run/netns` of the network namespace with this inode number; of several
    /// the first in alphabetical order.
    pub(super) fn get(&mut self, inode: u64) -> Option<&str> {
        self.by_inode
            .get_or_insert_with(|| {
                read(&self.root).unwrap_or_else(|error| {
                    debug!("cannot read the names of network namespaces: {error}");
                    HashMap::new()
                })
            })
            .get(&inode)
            .map(String::as_str)
    }
}

/// Reads the host's `/run/netns` through the root of process 1, whose mounts show the namespaces
/// that are bound there. No symbolic link is followed but `root` itself, so that nothing outside
/// of that root is ever looked at.
fn read(procfs: &std::path::Path) -> io::Result<HashMap<u64, String>> {
    let mut names = HashMap::new();
    let root = open(
        procfs.join("1/root"),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let run = openat(&root, c"run", flags, Mode::empty())?;
    let netns = match openat(&run, c"netns", flags, Mode::empty()) {
        Ok(netns) => netns,
        // `ip netns` was never used.
        Err(rustix::io::Errno::NOENT) => return Ok(names),
        Err(error) => return Err(error.into()),
    };
    // An ordinary file (a namespace that was unmounted) may have any inode number; only those of
    // the namespace file system say something.
    let namespaces = std::fs::metadata(procfs.join("1/ns/net"))?.dev();
    for entry in Dir::read_from(&netns)? {
        let entry = entry?;
        let name = entry.file_name();
        let Ok(stat) = statat(&netns, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if stat.st_dev != namespaces {
            continue;
        }
        let name = name.to_string_lossy().into_owned();
        names
            .entry(stat.st_ino)
            .and_modify(|known: &mut String| {
                if name < *known {
                    known.clone_from(&name);
                }
            })
            .or_insert(name);
    }
    Ok(names)
}

/// Makes names unique: of those that share one, the first keeps it and the others get `-<inode>`.
/// Each item is the name, the inode number of the namespace and the name it had so far, which it
/// keeps, so that a series does not change its labels because another container ended.
pub(super) fn unique_names<'a>(
    items: impl Iterator<Item = (&'a str, u64, Option<&'a str>)> + Clone,
) -> Vec<String> {
    let mut taken: HashSet<String> = items
        .clone()
        .filter_map(|(_, _, kept)| kept.map(str::to_owned))
        .collect();
    items
        .map(|(name, inode, kept)| {
            if let Some(kept) = kept {
                return kept.to_owned();
            }
            let mut unique = name.to_owned();
            while !taken.insert(unique.clone()) {
                unique = format!("{unique}-{inode}");
            }
            unique
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::unique_names;

    fn names(items: &[(&'static str, u64, Option<&'static str>)]) -> Vec<String> {
        unique_names(items.iter().copied())
    }

    #[test]
    fn the_first_keeps_its_name() {
        assert_eq!(
            names(&[("a", 7, None), ("b", 8, None), ("a", 9, None)]),
            ["a", "b", "a-9"]
        );
    }

    #[test]
    fn a_suffixed_name_that_is_taken_grows() {
        assert_eq!(
            names(&[("a-9", 1, None), ("a", 2, None), ("a", 9, None)]),
            ["a-9", "a", "a-9-9"]
        );
    }

    #[test]
    fn names_that_were_given_stay() {
        // The one that had the plain name ended; a newcomer may have it, the other keeps its own.
        assert_eq!(
            names(&[("a", 9, Some("a-9")), ("a", 3, None)]),
            ["a-9", "a"]
        );
        // A newcomer that is older than the holder of the name does not take it away.
        assert_eq!(names(&[("a", 3, None), ("a", 9, Some("a"))]), ["a-3", "a"]);
    }
}
