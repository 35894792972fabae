//! The file system of the host that a writable layer lies on.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use rustix::fs::{fstat, fstatvfs, major, minor};
use tracing::debug;

use super::upper::open_on_host;
use crate::filesystem::Usage;
use crate::filesystem::table::{Listed, Rules, SlowPlaces, TYPES_EXCLUDE, listed};
use crate::metrics::Tail;
use crate::procfs::Process;
use crate::procfs::mountinfo::Device;

/// A file system, by the label of its device.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The label `device`: what is mounted, such as `/dev/sda1`.
    pub label: Arc<Tail>,
    /// How full it is.
    pub usage: Usage,
}

/// The file systems of the host, as of one collection.
#[derive(Debug)]
pub(super) struct Holders {
    init: Arc<Process>,
    mounts: Vec<Listed>,
    found: HashMap<Device, Holder>,
    buffer: Vec<u8>,
}

impl Holders {
    /// None yet; `init` is a process of the host.
    pub(super) fn new(init: Arc<Process>) -> Self {
        Self {
            init,
            mounts: Vec::new(),
            found: HashMap::new(),
            buffer: Vec::new(),
        }
    }

    /// Forgets how full everything is, and reads what is mounted.
    pub(super) fn begin(&mut self) {
        self.found.clear();
        let read = self.init.read_records(c"mountinfo", &mut self.buffer);
        let rules = Rules::new("", TYPES_EXCLUDE);
        let mounts = read.map(|()| {
            listed(
                &self.buffer,
                &rules.unwrap_or_default(),
                &SlowPlaces::default(),
            )
        });
        self.mounts = match mounts {
            Ok(Ok((mounts, _))) => mounts,
            Ok(Err(error)) => {
                debug!(%error, "the host's mounts are not understood");
                Vec::new()
            }
            Err(error) => {
                debug!(%error, "the host's mounts cannot be read");
                Vec::new()
            }
        };
    }

    /// What the folder at `path` lies on. Where asking might wait for someone, nobody is asked.
    pub(super) fn of(&mut self, path: &[u8]) -> Option<Holder> {
        let above = |mount: &&Listed| is_below(path, &mount.point);
        let nearest = self.mounts.iter().filter(above);
        if !nearest.max_by_key(|mount| mount.point.len())?.is_prompt() {
            return None;
        }
        let folder = open_on_host(&self.init, path).ok()?;
        let device = fstat(folder.as_fd()).ok()?.st_dev;
        let device = Device {
            major: major(device),
            minor: minor(device),
        };
        if let Some(known) = self.found.get(&device) {
            return Some(known.clone());
        }
        let mut mounts = self.mounts.iter();
        // A link may have led elsewhere than the path says.
        let mount = mounts.find(|mount| mount.key.device == device && mount.is_prompt())?;
        let source = String::from_utf8_lossy(&mount.source);
        let holder = Holder {
            label: Arc::new(Tail::label("device", &source)),
            usage: Usage::from(fstatvfs(folder.as_fd()).ok()?),
        };
        // A folder with a quota has a size of its own.
        if mount.key.root.is_none() {
            self.found.insert(device, holder.clone());
        }
        Some(holder)
    }
}

/// Whether `path` is `folder` or below it.
fn is_below(path: &[u8], folder: &[u8]) -> bool {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    use super::{Holders, is_below};
    use crate::testing::process;

    #[test]
    fn folders_and_what_is_below_them() {
        for (path, folder, expected) in [
            ("/var/lib", "/", true),
            ("/var/lib", "/var", true),
            ("/var/lib", "/var/lib", true),
            ("/var/lib", "/va", false),
            ("/variable", "/var", false),
            ("/", "/", true),
        ] {
            let found = is_below(path.as_bytes(), folder.as_bytes());
            assert_eq!(found, expected, "{path} {folder}");
        }
    }

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
}
