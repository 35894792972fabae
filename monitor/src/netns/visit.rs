//! Short visits to other network namespaces: what the kernel tells only from inside.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::procfs::Process;

/// The cookie of the namespace that the calling thread is in (`SO_NETNS_COOKIE`, Linux 5.14):
/// unlike the inode number it is never given to another namespace.
///
/// # Errors
/// `ENOPROTOOPT` where the kernel gives no cookies out.
pub fn own_cookie() -> io::Result<u64> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::DGRAM, None)?;
    let mut cookie = 0u64;
    let mut len = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the buffer is a u64 and `len` says so.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    if result == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `include/uapi/asm-generic/socket.h`; SPARC and PA-RISC have numbers of their own.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// Runs `task` once in the network namespace of each process, all on one thread made for it, so
/// that no other thread ever leaves its namespace. An error stands for a namespace that could not
/// be entered: the process is gone, or `CAP_SYS_ADMIN` is missing.
pub fn in_each<T: Send>(
    processes: &[&Process],
    task: impl Fn(&Process) -> io::Result<T> + Sync,
) -> Vec<io::Result<T>> {
    if processes.is_empty() {
        return Vec::new();
    }
    let visit = |process: &Process| {
        let namespace: OwnedFd = process.open_netns()?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        task(process)
    };
    thread::scope(|scope| {
        let worker = scope.spawn(|| processes.iter().map(|process| visit(process)).collect());
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
