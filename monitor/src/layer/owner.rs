//! Who may mount something where a process is.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use rustix::fs::fstat;

use crate::procfs::Process;

/// `_IO(0xb7, 0x1)` of `include/uapi/linux/nsfs.h` (Linux 4.9).
const NS_GET_USERNS: libc::Ioctl = 0xb701;

/// Whether the mount namespace of `process` belongs to the user namespace of `init`, a process of
/// the host: then it takes the host's own rights to mount something there. Root of a user
/// namespace below it, which every user may be, can only do so in mount namespaces of that one.
///
/// # Errors
/// The process is gone, may not be looked into, or we are in a user namespace below the host's.
pub(super) fn is_host_s(process: &Process, init: &Process) -> io::Result<bool> {
    let namespace = process.open_mount_namespace()?;
    // SAFETY: the call takes no argument and touches no memory.
    let owner = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS) };
    if owner < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made this descriptor for us just now.
    let owner = unsafe { OwnedFd::from_raw_fd(owner) };
    Ok(fstat(owner)?.st_ino == init.user_namespace()?)
}

#[cfg(test)]
mod tests {
    use super::is_host_s;
    use crate::testing::process;

    #[test]
    fn our_own_namespace_is_our_own_s() {
        // Without rights over it, what is asked for may lie above us.
        if let Ok(found) = is_host_s(&process(), &process()) {
            assert!(found);
        }
    }
}
