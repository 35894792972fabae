//! Which container a cgroup belongs to, by the cgroup's id.
//!
//! The id of a cgroup is the inode number of its directory in cgroup2 (`kernfs_node.id`, Linux
//! 5.5). The tree is searched by names, not by paths from `/proc`, so that it works from within
//! another cgroup namespace too.

pub mod paths;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Dir, FileType, Mode, OFlags, fstat, fstatfs, open, openat};
use tracing::debug;

use crate::discovery::container_id;

/// Longer than the path of any cgroup that people make; a bound on the depth of the search.
const MAX_PATH: usize = 4096;

/// How long a cgroup is taken to exist that was seen once.
const KEEP: Duration = Duration::from_secs(120);

/// Ids of the container of each cgroup that there is.
#[derive(Debug)]
pub struct Cgroups {
    root: Option<OwnedFd>,
    /// `None` for a cgroup that belongs to no container.
    containers: HashMap<u64, Option<Arc<str>>>,
    /// Those that were looked for in vain.
    absent: HashSet<u64>,
    read: Option<Instant>,
}

impl Cgroups {
    /// Finds cgroup2 below `sysfs`: at `fs/cgroup/unified` on a hybrid host, else at `fs/cgroup`.
    /// With cgroup v1 only there is none, and no cgroup is known.
    pub fn open(sysfs: &Path) -> Self {
        let root = ["fs/cgroup/unified", "fs/cgroup"]
            .iter()
            .find_map(|path| open_cgroup2(&sysfs.join(path)).ok());
        Self {
            root,
            containers: HashMap::new(),
            absent: HashSet::new(),
            read: None,
        }
    }

    /// Whether there is a cgroup2: without one, no socket tells whose it is within its namespace.
    pub fn are_there(&self) -> bool {
        self.root.is_some()
    }

    /// A host with these cgroups, each with its container's id where it is one's.
    #[cfg(test)]
    pub(crate) fn known(cgroups: &[(u64, Option<&str>)]) -> Self {
        let containers = cgroups.iter().map(|&(id, name)| (id, name.map(Arc::from)));
        Self {
            root: open(Path::new("/"), FLAGS, Mode::empty()).ok(),
            containers: containers.collect(),
            absent: HashSet::new(),
            read: None,
        }
    }

    /// The container that cgroup `id` belongs to, as of the last [`Cgroups::refresh`].
    pub fn container(&self, id: u64) -> Option<&Arc<str>> {
        self.containers.get(&id)?.as_ref()
    }

    /// Whether cgroup `id` existed at the last [`Cgroups::refresh`]; true for 0, which stands for
    /// an unknown one, and without cgroup2, where nothing can be said.
    pub fn may_exist(&self, id: u64) -> bool {
        id == 0 || self.root.is_none() || self.containers.contains_key(&id)
    }

    /// Makes the cgroups `ids` known: reads the tree anew where one of them was never looked for,
    /// and now and then to learn which are gone.
    pub fn look_up(&mut self, ids: impl Iterator<Item = u64>, now: Instant) {
        let is_old = self.read.is_none_or(|read| now - read >= KEEP);
        if is_old {
            self.absent.clear();
        }
        let new: Vec<u64> = ids
            .filter(|id| !self.may_exist(*id) && !self.absent.contains(id))
            .collect();
        if new.is_empty() && !is_old {
            return;
        }
        self.read = Some(now);
        if let Err(error) = self.refresh() {
            debug!(%error, "cannot read the cgroup tree");
        }
        let containers = &self.containers;
        self.absent
            .extend(new.into_iter().filter(|id| !containers.contains_key(id)));
    }

    /// Reads the tree anew: every folder of it is opened and listed.
    ///
    /// # Errors
    /// The root cannot be read; what was known stays. Cgroups that vanish meanwhile are no error.
    pub fn refresh(&mut self) -> io::Result<()> {
        let Some(root) = &self.root else {
            return Ok(());
        };
        let mut found = HashMap::with_capacity(self.containers.len());
        walk(
            openat(root, c".", FLAGS, Mode::empty())?,
            &mut Vec::new(),
            &mut found,
        )?;
        self.containers = found;
        Ok(())
    }
}

const FLAGS: OFlags = OFlags::DIRECTORY
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

fn open_cgroup2(path: &Path) -> io::Result<OwnedFd> {
    let root = open(path, FLAGS, Mode::empty())?;
    if fstatfs(&root)?.f_type == libc::CGROUP2_SUPER_MAGIC {
        Ok(root)
    } else {
        Err(io::Error::other("not a cgroup2 file system"))
    }
}

/// Notes the cgroup at `path` below the root, and all below it.
fn walk(
    dir: OwnedFd,
    path: &mut Vec<u8>,
    found: &mut HashMap<u64, Option<Arc<str>>>,
) -> io::Result<()> {
    let container = container_id::of_path(path).map(|container| Arc::from(container.id));
    found.insert(fstat(&dir)?.st_ino, container);
    for entry in Dir::read_from(dir.as_fd())? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() != FileType::Directory || name == c"." || name == c".." {
            continue;
        }
        let len = path.len();
        path.push(b'/');
        path.extend(name.to_bytes());
        if path.len() < MAX_PATH
            && let Ok(child) = openat(dir.as_fd(), name, FLAGS, Mode::empty())
            && let Err(error) = walk(child, path, found)
        {
            // It was removed while we looked.
            debug!(path = %String::from_utf8_lossy(path), %error, "cgroup skipped");
        }
        path.truncate(len);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_container_and_all_below_it_are_found_by_inode_number() {
        let root = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef".repeat(4);
        let scope = root.path().join(format!("system.slice/docker-{id}.scope"));
        std::fs::create_dir_all(scope.join("nested/deeper")).unwrap();
        let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
        let dir = open(root.path(), FLAGS, Mode::empty()).unwrap();
        let mut cgroups = Cgroups {
            root: Some(dir),
            containers: HashMap::new(),
            absent: HashSet::new(),
            read: None,
        };
        assert!(!cgroups.may_exist(inode(&scope)));

        cgroups.refresh().unwrap();
        for path in [
            scope.clone(),
            scope.join("nested"),
            scope.join("nested/deeper"),
        ] {
            assert_eq!(
                cgroups.container(inode(&path)).map(|id| &**id),
                Some(&*id),
                "{path:?}"
            );
        }
        let outside = inode(&root.path().join("system.slice"));
        assert!(cgroups.may_exist(outside) && cgroups.container(outside).is_none());

        // What is new is found when it is asked for, what is not there is not searched for twice.
        let now = Instant::now();
        let later = root.path().join("later");
        cgroups.look_up([u64::MAX].into_iter(), now);
        std::fs::create_dir(&later).unwrap();
        cgroups.look_up([u64::MAX].into_iter(), now);
        assert!(!cgroups.may_exist(inode(&later)));
        cgroups.look_up([inode(&later)].into_iter(), now);
        assert!(cgroups.may_exist(inode(&later)));

        let gone = inode(&scope);
        std::fs::remove_dir_all(&scope).unwrap();
        cgroups.refresh().unwrap();
        assert!(!cgroups.may_exist(gone));
    }

    #[test]
    fn a_folder_that_is_no_cgroup2_is_not_used() {
        let sysfs = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(sysfs.path().join("fs/cgroup")).unwrap();
        let mut cgroups = Cgroups::open(sysfs.path());
        cgroups.refresh().unwrap();
        assert!(cgroups.may_exist(1) && cgroups.container(1).is_none());
    }
}
