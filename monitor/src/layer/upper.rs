//! Where a container's writable layer is: the upper folder of its root's overlayfs.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use crate::procfs::mountinfo::{Device, Mount};
use crate::procfs::{ParseError, Process, mountinfo};

/// A root that is an overlayfs with an upper folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The overlayfs.
    pub device: Device,
    /// Its upper folder, as whoever mounted it named it.
    pub upper: Box<[u8]>,
}

/// The root of a process, from its `mountinfo`. `None` where it is no overlayfs, is read-only, or
/// has a path that says nothing to others (a relative one).
///
/// # Errors
/// The text is not understood.
pub fn root(mountinfo: &[u8]) -> Result<Option<Root>, ParseError> {
    let mut found = None;
    mountinfo::parse(mountinfo, |mount| {
        // Of several on top of one another the last is seen.
        if &*mount.point == b"/" {
            found = upper(&mount).map(|upper| Root {
                device: mount.device,
                upper,
            });
        }
    })?;
    Ok(found)
}

/// The upper folder of a mount of overlayfs.
fn upper(mount: &Mount<'_>) -> Option<Box<[u8]>> {
    let upper = mount
        .super_option(b"upperdir")
        .filter(|upper| &*mount.fs_type == b"overlay" && upper.starts_with(b"/"));
    upper.map(|upper| upper.as_ref().into())
}

/// The overlayfs that are mounted on the host itself.
#[derive(Debug, Default)]
pub struct HostOverlays {
    /// The host's own root, which is no container's.
    root: Option<Device>,
    uppers: HashMap<Device, Box<[u8]>>,
}

impl HostOverlays {
    /// From the `mountinfo` of a process of the host.
    ///
    /// # Errors
    /// The text is not understood.
    pub fn new(mountinfo: &[u8]) -> Result<Self, ParseError> {
        let mut found = Self::default();
        mountinfo::parse(mountinfo, |mount| {
            if &*mount.point == b"/" {
                found.root = Some(mount.device);
            }
            if let Some(upper) = upper(&mount) {
                found.uppers.insert(mount.device, upper);
            }
        })?;
        Ok(found)
    }

    /// The upper folder of a container's root, as a path of the host that the container has no say
    /// in. What it shows may be a mount of its own making, with a path that means another folder
    /// to us: so the overlayfs must be mounted on the host too, where runtimes mount it, or
    /// `is_host_s` must say that none but the host's root mounts anything where it is.
    pub fn believe(&self, root: &Root, is_host_s: impl FnOnce() -> bool) -> Option<Box<[u8]>> {
        if self.root == Some(root.device) {
            return None;
        }
        match self.uppers.get(&root.device) {
            Some(upper) => Some(upper.clone()),
            None => is_host_s().then(|| root.upper.clone()),
        }
    }
}

/// Opens a folder of the host by its path, from the root of `init`, one of its processes.
///
/// # Errors
/// It is not there, or cannot be read.
pub fn open_on_host(init: &Process, path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = init.open_root()?;
    // The host's own links may be followed: its folder of containers is often one.
    match openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        // Before Linux 5.6: links are then followed from our own root, which is the host's if we
        // are in no container, and else has no such path.
        Err(Errno::NOSYS | Errno::PERM) => Ok(open(path, flags, Mode::empty())?),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use super::{HostOverlays, root};

    fn upper(text: &str) -> Option<String> {
        let found = root(text.as_bytes()).unwrap();
        found.map(|root| String::from_utf8(root.upper.into_vec()).unwrap())
    }

    #[test]
    fn the_root_s_upper_folder() {
        let docker = "1 0 0:57 / / rw - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/d/o\\040x/diff,workdir=/d/o/work\n\
            2 1 0:58 / /data rw - overlay overlay rw,upperdir=/other\n";
        assert_eq!(upper(docker).as_deref(), Some("/d/o x/diff"));
    }

    #[test]
    fn other_roots_have_none() {
        assert_eq!(upper("1 0 8:1 / / rw - ext4 /dev/sda rw\n"), None);
        assert_eq!(
            upper("1 0 0:5 / / ro - overlay overlay ro,lowerdir=/a:/b\n"),
            None
        );
        assert_eq!(
            upper("1 0 0:5 / / rw - overlay overlay rw,upperdir=diff\n"),
            None
        );
        let covered = "1 0 0:5 / / rw - overlay o rw,upperdir=/a\n2 1 8:1 / / rw - ext4 x rw\n";
        assert_eq!(upper(covered), None);
        assert!(root(b"1 0\n").is_err());
    }

    #[test]
    fn the_host_s_word_counts() {
        let host = "1 0 8:1 / / rw - ext4 /dev/sda rw\n\
            2 1 0:57 / /run/a/rootfs rw - overlay overlay rw,upperdir=/d/true\n";
        let host = HostOverlays::new(host.as_bytes()).unwrap();
        let believed = |device: &str, is_host_s: bool| {
            let text = format!("7 6 {device} / / rw - overlay o rw,upperdir=/etc\n");
            let root = root(text.as_bytes()).unwrap().unwrap();
            let upper = host.believe(&root, || is_host_s)?;
            Some(String::from_utf8(upper.into_vec()).unwrap())
        };
        for is_host_s in [true, false] {
            assert_eq!(believed("0:57", is_host_s).as_deref(), Some("/d/true"));
        }
        // A daemon with mounts of its own, and a container with mounts of its own.
        assert_eq!(believed("0:58", true).as_deref(), Some("/etc"));
        assert_eq!(believed("0:58", false), None);
        // The host's own root is no container's layer.
        assert_eq!(believed("8:1", true), None);
    }
}
