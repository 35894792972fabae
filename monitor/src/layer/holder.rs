//! The file system of the host that a writable layer lies on.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, StatxFlags, fstatvfs, statx};
use tracing::debug;

use super::upper::open_on_host;
use crate::filesystem::Usage;
use crate::filesystem::table::{Listed, Rules, SlowPlaces, TYPES_EXCLUDE, is_below, listed};
use crate::metrics::Tail;
use crate::procfs::Process;
use crate::procfs::mountinfo::{self, Device};

/// A file system, by the label of its device.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The label `device`: what is mounted, such as `/dev/sda1`.
    pub label: Arc<Tail>,
    /// How full it is.
    pub usage: Usage,
}

/// A mount of the host.
#[derive(Debug)]
struct HostMount {
    id: u64,
    device: Device,
    point: Box<[u8]>,
    /// Its line in `mountinfo`.
    line: Range<usize>,
}

/// Where a folder is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The id of the mount (Linux 5.8).
    mount: Option<u64>,
    /// The device that files show, which on btrfs is another one than that of the mount.
    device: Device,
}

/// The file systems of the host, as of one collection.
#[derive(Debug)]
pub(super) struct Holders {
    init: Arc<Process>,
    rules: Option<Rules>,
    text: Vec<u8>,
    mounts: Vec<HostMount>,
    /// What was made of them, by id.
    known: RefCell<HashMap<u64, Option<Listed>>>,
    found: HashMap<Device, Holder>,
}

impl Holders {
    /// None yet; `init` is a process of the host.
    pub(super) fn new(init: Arc<Process>) -> Self {
        let rules = Rules::new("", TYPES_EXCLUDE);
        Self {
            init,
            // A constant, and tested.
            rules: rules.ok(),
            text: Vec::new(),
            mounts: Vec::new(),
            known: RefCell::default(),
            found: HashMap::new(),
        }
    }

    /// Forgets how full everything is, and reads what is mounted.
    pub(super) fn begin(&mut self) {
        self.found.clear();
        self.mounts.clear();
        self.known.get_mut().clear();
        if let Err(error) = self.init.read_records(c"mountinfo", &mut self.text) {
            debug!(%error, "the host's mounts cannot be read");
        } else {
            self.read();
        }
    }

    /// Understands what was read.
    fn read(&mut self) {
        let mut start = 0;
        for line in self.text.split_inclusive(|&byte| byte == b'\n') {
            let end = start + line.len();
            let parsed = mountinfo::parse(line, |mount| {
                self.mounts.push(HostMount {
                    id: mount.id,
                    device: mount.device,
                    point: mount.point.as_ref().into(),
                    line: start..end,
                });
            });
            if let Err(error) = parsed {
                debug!(%error, "a mount of the host is not understood");
            }
            start = end;
        }
    }

    /// What the folder at `path` lies on. Where asking might wait for someone, nobody is asked.
    pub(super) fn of(&mut self, path: &[u8]) -> Option<Holder> {
        if !self.listed(self.nearest(path)?)?.is_prompt() {
            return None;
        }
        let folder = open_on_host(&self.init, path).ok()?;
        let mount = self.mount(path, place(folder.as_fd()).ok()?)?;
        if let Some(known) = self.found.get(&mount.device) {
            return Some(known.clone());
        }
        let mount = self.listed(mount)?;
        if !mount.is_prompt() {
            return None;
        }
        let source = String::from_utf8_lossy(&mount.source);
        let holder = Holder {
            label: Arc::new(Tail::label("device", &source)),
            usage: Usage::from(fstatvfs(folder.as_fd()).ok()?),
        };
        // A folder with a quota has a size of its own.
        if mount.key.root.is_none() {
            self.found.insert(mount.key.device, holder.clone());
        }
        Some(holder)
    }

    /// The mount that a path leads to, if no link is in it.
    fn nearest(&self, path: &[u8]) -> Option<&HostMount> {
        let mounts = self.mounts.iter();
        let above = mounts.filter(|mount| is_below(path, &mount.point));
        // Of several at one place the last is seen.
        above.max_by_key(|mount| mount.point.len())
    }

    /// The mount that a folder is in, where a link may have led elsewhere than its path says.
    fn mount(&self, path: &[u8], place: Place) -> Option<&HostMount> {
        let find = |is_it: &dyn Fn(&&HostMount) -> bool| self.mounts.iter().find(is_it);
        find(&|mount| Some(mount.id) == place.mount)
            .or_else(|| find(&|mount| mount.device == place.device))
            .or_else(|| {
                let shows_others = |mount: &&HostMount| {
                    !self.listed(mount).is_none_or(|mount| mount.has_own_device)
                };
                self.nearest(path).filter(shows_others)
            })
    }

    /// What the collector of file systems makes of a mount. It is shown those on the way to it
    /// alone, of which there are never too many.
    fn listed(&self, mount: &HostMount) -> Option<Listed> {
        if let Some(known) = self.known.borrow().get(&mount.id) {
            return known.clone();
        }
        let listed = self.list(mount);
        self.known.borrow_mut().insert(mount.id, listed.clone());
        listed
    }

    fn list(&self, mount: &HostMount) -> Option<Listed> {
        let mounts = self.mounts.iter();
        let above = mounts.filter(|other| is_below(&mount.point, &other.point));
        let lines: Vec<&[u8]> = above.map(|other| &self.text[other.line.clone()]).collect();
        let (found, _) = listed(
            &lines.concat(),
            self.rules.as_ref()?,
            &SlowPlaces::default(),
        )
        .ok()?;
        found.into_iter().find(|found| found.id == mount.id)
    }
}

fn place(folder: BorrowedFd<'_>) -> io::Result<Place> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(folder, c"", flags, StatxFlags::INO | StatxFlags::MNT_ID)?;
    let has_id = stat.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    Ok(Place {
        mount: has_id.then_some(stat.stx_mnt_id),
        device: Device {
            major: stat.stx_dev_major,
            minor: stat.stx_dev_minor,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::process;

    #[test]
    fn a_folder_lies_on_what_statvfs_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = std::fs::canonicalize(folder.path()).unwrap();
        let mut holders = Holders::new(process());
        assert!(holders.of(path.as_os_str().as_encoded_bytes()).is_none());
        holders.begin();
        // Where the build lies on an overlay, as in a container, there is none.
        if let Some(holder) = holders.of(path.as_os_str().as_encoded_bytes()) {
            let judge = rustix::fs::statvfs(&path).unwrap();
            assert_eq!(holder.usage.size, judge.f_blocks * judge.f_frsize);
            assert_eq!(holders.found.len(), 1);
        }
        assert!(holders.of(b"/none/such").is_none());
    }

    /// What a folder at this path and place is said to lie on: its source, or nothing.
    fn source(text: &str, path: &str, mount: Option<u64>, device: (u32, u32)) -> Option<String> {
        let mut holders = Holders::new(process());
        holders.text = text.into();
        holders.read();
        let (major, minor) = device;
        let place = Place {
            mount,
            device: Device { major, minor },
        };
        let found = holders.listed(holders.mount(path.as_bytes(), place)?)?;
        assert!(found.is_prompt());
        Some(String::from_utf8_lossy(&found.source).into_owned())
    }

    #[test]
    fn a_subvolume_of_btrfs_has_a_device_of_its_own() {
        let text = "1 0 0:30 /root / rw - btrfs /dev/sda rw\n\
            2 1 0:30 /var /var rw - btrfs /dev/sda rw\n\
            3 1 8:1 / /boot rw - ext4 /dev/sdb rw\n";
        for mount in [Some(2), None] {
            let found = source(text, "/var/lib/d/diff", mount, (0, 44));
            assert_eq!(found.as_deref(), Some("/dev/sda"), "{mount:?}");
        }
        // Where a link has led elsewhere.
        for mount in [Some(3), None] {
            let found = source(text, "/var/lib/d/diff", mount, (8, 1));
            assert_eq!(found.as_deref(), Some("/dev/sdb"), "{mount:?}");
        }
        // No mount of the host.
        assert_eq!(source(text, "/boot/d", Some(9), (8, 7)), None);
        assert_eq!(source(text, "/boot/d", None, (8, 7)), None);
    }

    #[test]
    fn a_host_may_have_thousands_of_mounts() {
        let mut text = "1 0 8:1 / / rw - ext4 /dev/sda rw\n".to_owned();
        for id in 10..1_000 {
            text += &format!("{id} 1 0:{id} / /pods/{id} rw - tmpfs t rw\n");
        }
        text += "5 1 8:2 / /data rw - xfs /dev/sdb rw\n";
        for mount in [Some(5), None] {
            let found = source(&text, "/data/diff", mount, (8, 2));
            assert_eq!(found.as_deref(), Some("/dev/sdb"), "{mount:?}");
        }
    }
}
