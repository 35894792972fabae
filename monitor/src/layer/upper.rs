//! Where a container's writable layer is: the upper folder of its root's overlayfs.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use crate::procfs::{ParseError, Process, mountinfo};

/// The upper folder, as the runtime named it: a path on the host. `None` where the root is no
/// overlayfs, is read-only, or has a path that says nothing to others (a relative one).
///
/// # Errors
/// The text is not understood.
pub fn folder(mountinfo: &[u8]) -> Result<Option<Box<[u8]>>, ParseError> {
    let mut found = None;
    mountinfo::parse(mountinfo, |mount| {
        // Of several on top of one another the last is seen.
        if &*mount.point == b"/" {
            let upper = mount
                .super_option(b"upperdir")
                .filter(|upper| &*mount.fs_type == b"overlay" && upper.starts_with(b"/"));
            found = upper.map(|upper| upper.as_ref().into());
        }
    })?;
    Ok(found)
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
    use super::folder;

    fn upper(text: &str) -> Option<String> {
        let found = folder(text.as_bytes()).unwrap();
        found.map(|path| String::from_utf8(path.into_vec()).unwrap())
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
        assert!(folder(b"1 0\n").is_err());
    }
}
