//! What the kernel tells of mounts by their numbers, for which there is no safe wrapper: an
//! `ioctl` of Linux 6.11, and two calls of Linux 6.8 (`include/uapi/linux/{nsfs,mount}.h`).

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// `_IOR(0xb7, 0x5, __u64)`: `NS_GET_MNTNS_ID`
const GET_NAMESPACE: libc::Ioctl = 0x8008_b705_u32 as libc::Ioctl;

/// `statmount` and `listmount` in `scripts/syscall.tbl`, as on x86 so on Arm.
const STATMOUNT: libc::c_long = 457;
const LISTMOUNT: libc::c_long = 458;

/// `LSMT_ROOT`: all mounts of a namespace.
const ALL: u64 = u64::MAX;

/// `STATMOUNT_SB_BASIC | STATMOUNT_MNT_BASIC`
const BASIC: u64 = 1 | 2;

/// `SB_RDONLY` of a file system, and `MOUNT_ATTR_RDONLY` of a mount.
const READONLY: u64 = 1;

/// `struct mnt_id_req`
#[repr(C)]
struct Request {
    size: u32,
    spare: u32,
    id: u64,
    param: u64,
    namespace: u64,
}

impl Request {
    fn new(namespace: u64, id: u64, param: u64) -> Self {
        Self {
            size: size_of::<Self>() as u32,
            spare: 0,
            id,
            param,
            namespace,
        }
    }
}

/// The first fields of `struct statmount`.
#[repr(C)]
#[derive(Default)]
struct StatMount {
    size: u32,
    options: u32,
    mask: u64,
    device: [u32; 2],
    magic: u64,
    super_flags: u32,
    fs_type: u32,
    id: u64,
    parent: u64,
    id_old: u32,
    parent_old: u32,
    attributes: u64,
}

/// The number of a mount namespace, which no other one ever gets.
pub(super) fn namespace(namespace: &OwnedFd) -> io::Result<u64> {
    let mut number = 0_u64;
    // SAFETY: the kernel writes 64 bits to where the pointer leads.
    let result = unsafe { libc::ioctl(namespace.as_raw_fd(), GET_NAMESPACE, &raw mut number) };
    if result == 0 {
        Ok(number)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Puts the numbers of a namespace's mounts into `ids`, which no other mount ever gets, and returns
/// how many there are: no more than there is room for.
pub(super) fn mounts(namespace: u64, ids: &mut [u64]) -> io::Result<usize> {
    let request = Request::new(namespace, ALL, 0);
    // SAFETY: the kernel reads a `struct mnt_id_req`, and writes so many numbers of 64 bits.
    let count = unsafe {
        libc::syscall(
            LISTMOUNT,
            &raw const request,
            ids.as_mut_ptr(),
            ids.len(),
            0_u32,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// What may change about a mount: its number in `mountinfo`, and whether nothing can be written
/// through it.
pub(super) fn mount(namespace: u64, id: u64) -> io::Result<(u64, bool)> {
    let request = Request::new(namespace, id, BASIC);
    let mut found = StatMount::default();
    // SAFETY: the kernel reads a `struct mnt_id_req`, and writes no more than the given size to
    // where the pointer leads.
    let result = unsafe {
        libc::syscall(
            STATMOUNT,
            &raw const request,
            &raw mut found,
            size_of::<StatMount>(),
            0_u32,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if found.mask & BASIC != BASIC {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let flags = u64::from(found.super_flags) | found.attributes;
    Ok((found.id_old.into(), flags & READONLY != 0))
}
