//! A page of memory that stops whoever writes to it, the kernel too, until it is let go on.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A page that was never touched.
#[derive(Debug)]
pub(super) struct Page {
    start: *mut libc::c_void,
    length: usize,
}

/// The wait for the first touch of a [`Page`].
#[derive(Debug)]
pub(super) struct Watch {
    fault: OwnedFd,
    range: Range,
}

/// `struct uffdio_range`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Range {
    start: u64,
    length: u64,
}

/// `struct uffdio_api`
#[repr(C)]
struct Api {
    version: u64,
    features: u64,
    requests: u64,
}

/// `struct uffdio_register`
#[repr(C)]
struct Register {
    range: Range,
    mode: u64,
    requests: u64,
}

/// `UFFD_API`, `UFFDIO_REGISTER_MODE_MISSING` and the requests of `linux/userfaultfd.h`.
const VERSION: u64 = 0xaa;
const MISSING: u64 = 1;
const UFFDIO_API: u64 = 0xc018_aa3f;
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
const UFFDIO_UNREGISTER: u64 = 0x8010_aa01;

impl Page {
    /// Takes a page of memory.
    pub(super) fn new() -> io::Result<Self> {
        let length = rustix::param::page_size();
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: new memory, at an address that the kernel chooses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start, length })
    }

    /// Watches it: from here on the first to touch it waits.
    pub(super) fn watch(&self) -> io::Result<Watch> {
        // SAFETY: the call takes flags alone.
        let fd =
            unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) };
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that was just made and that nobody else has.
        let fault = unsafe { OwnedFd::from_raw_fd(fd) };
        let range = Range {
            start: self.start as u64,
            length: self.length as u64,
        };
        let mut api = Api {
            version: VERSION,
            features: 0,
            requests: 0,
        };
        request(&fault, UFFDIO_API, &mut api)?;
        let mut register = Register {
            range,
            mode: MISSING,
            requests: 0,
        };
        request(&fault, UFFDIO_REGISTER, &mut register)?;
        Ok(Watch { fault, range })
    }

    /// The page as memory to write to.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped for reading and writing as long as `self` is there, all zeroes at first.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.length) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody has a reference any more.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

impl AsFd for Watch {
    /// It can be read from when somebody waits.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fault.as_fd()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Lets whoever waits go on. The descriptor's end does the same, but not as long as a child
        // that was just forked has it too.
        request(&self.fault, UFFDIO_UNREGISTER, &mut self.range).ok();
    }
}

/// Makes one of the requests of this file.
fn request<T>(fd: &OwnedFd, code: u64, argument: &mut T) -> io::Result<()> {
    // SAFETY: the descriptor is open, and `code` takes a `T` (see the callers), which outlives the
    // call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), code as libc::Ioctl, &raw mut *argument) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
