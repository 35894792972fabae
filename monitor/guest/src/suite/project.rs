//! Giving a folder a project of its own, and the project a limit.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::{Context, Result};

/// `struct fsxattr` of `include/uapi/linux/fs.h`, by its words: flags first, the project fourth.
type FsXattr = [u32; 7];

/// `_IOR('X', 31, struct fsxattr)` and `_IOW('X', 32, struct fsxattr)`
const GET: libc::Ioctl = 0x801c_581f_u32 as libc::Ioctl;
const SET: libc::Ioctl = 0x401c_5820_u32 as libc::Ioctl;
const INHERIT: u32 = 0x200;

/// `QCMD(Q_SETQUOTA, PRJQUOTA)`
const SET_QUOTA: libc::c_int = (0x0080_0008_u32 << 8 | 2).cast_signed();
/// The limits of space and of inodes are valid.
const LIMITS: u64 = 1 | 4;

/// Gives a folder, and all that will be made in it, a project, which may take so many bytes and
/// inodes.
///
/// # Errors
/// Where the file system has no projects, or keeps no quotas.
pub(crate) fn limit(folder: &Path, device: &Path, id: u32, bytes: u64, inodes: u64) -> Result<()> {
    let file = File::open(folder)?;
    let mut attributes = FsXattr::default();
    change(&file, GET, &mut attributes).context("the attributes of a folder")?;
    attributes[0] |= INHERIT;
    attributes[3] = id;
    change(&file, SET, &mut attributes).context("the project of a folder")?;
    // `struct if_dqblk` of `include/uapi/linux/quota.h`: limits in KiB and inodes, what is valid.
    let mut quota = [0_u64; 9];
    quota[0] = bytes / 1024;
    quota[3] = inodes;
    quota[8] = LIMITS;
    let device = CString::new(device.as_os_str().as_encoded_bytes())?;
    // SAFETY: the device is a text with an end, and the kernel reads a `struct if_dqblk` of 72
    // bytes at the other pointer.
    let result = unsafe {
        libc::quotactl(
            SET_QUOTA,
            device.as_ptr(),
            id.cast_signed(),
            quota.as_mut_ptr().cast(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error()).context("the limit of a project")
    }
}

fn change(file: &File, request: libc::Ioctl, attributes: &mut FsXattr) -> io::Result<()> {
    // SAFETY: both requests are about one `struct fsxattr` of 28 bytes, which the array is.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request, attributes.as_mut_ptr()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
