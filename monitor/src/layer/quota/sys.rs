//! The two system calls that tell of a project's quota, which have no safe wrapper.

use std::os::fd::{AsRawFd as _, OwnedFd};

use super::super::walk::Totals;

/// `struct fsxattr` of `include/uapi/linux/fs.h`.
#[repr(C)]
#[derive(Default)]
struct FsXattr {
    xflags: u32,
    extsize: u32,
    nextents: u32,
    projid: u32,
    cowextsize: u32,
    pad: [u8; 8],
}

/// `_IOR('X', 31, struct fsxattr)`, the same on x86 and Arm.
const FS_IOC_FSGETXATTR: libc::Ioctl = 0x801c_581f_u32 as libc::Ioctl;

/// What is made in a folder belongs to its project.
const FS_XFLAG_PROJINHERIT: u32 = 0x200;

/// The project that a folder gives to what is made in it; `None` where it gives none.
pub(super) fn project(folder: &OwnedFd) -> Option<u32> {
    let mut attributes = FsXattr::default();
    // SAFETY: the kernel writes one `struct fsxattr`, which is what the pointer leads to.
    let result = unsafe { libc::ioctl(folder.as_raw_fd(), FS_IOC_FSGETXATTR, &raw mut attributes) };
    let inherits = attributes.xflags & FS_XFLAG_PROJINHERIT != 0;
    (result == 0 && inherits && attributes.projid != 0).then_some(attributes.projid)
}

/// `struct if_dqblk` of `include/uapi/linux/quota.h`.
#[repr(C)]
#[derive(Default)]
struct Quota {
    block_hard_limit: u64,
    block_soft_limit: u64,
    space: u64,
    inode_hard_limit: u64,
    inode_soft_limit: u64,
    inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}

/// `QCMD(Q_GETQUOTA, PRJQUOTA)`
const GET_PROJECT_QUOTA: libc::c_long = 0x0080_0007 << 8 | 2;

/// Space and inodes are known.
const QIF_USAGE: u32 = 2 | 8;

/// What a project takes; `None` where the kernel keeps no account of it (or is older than 5.14),
/// and without CAP_SYS_ADMIN.
pub(super) fn usage(folder: &OwnedFd, project: u32) -> Option<Totals> {
    let mut quota = Quota::default();
    // SAFETY: the kernel writes one `struct if_dqblk`, which is what the pointer leads to.
    let result = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            libc::c_long::from(folder.as_raw_fd()),
            GET_PROJECT_QUOTA,
            project as libc::c_long,
            &raw mut quota,
        )
    };
    (result == 0 && quota.valid & QIF_USAGE == QIF_USAGE).then_some(Totals {
        bytes: quota.space,
        files: quota.inodes,
    })
}
