//! The few system calls that have no safe wrapper, and what a child does between `fork` and
//! `exec`. All of it is async-signal-safe: nothing allocates, takes a lock or panics.

use std::ffi::CStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// Makes the child of `command` die by SIGKILL when the thread that spawns it ends.
pub(crate) fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let hook = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the line above.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: the hook makes two system calls and touches no memory of the parent.
    unsafe { command.pre_exec(hook) };
}

/// Puts the child of `command` in a network namespace of its own, with `lo` up.
pub(crate) fn in_new_netns(command: &mut Command) {
    // SAFETY: `unshare_netns` and `loopback_up` make system calls on values of their own stack.
    unsafe { command.pre_exec(|| unshare_netns().and_then(|()| loopback_up())) };
}

/// Puts the child of `command` in the network namespace at `path` (such as `/proc/1/ns/net`).
/// The namespace is opened by the child, so that the parent keeps none alive.
pub(crate) fn in_netns(command: &mut Command, path: std::ffi::CString) {
    // SAFETY: `join_netns` opens, enters and closes; the path was made before the fork.
    unsafe { command.pre_exec(move || join_netns(&path)) };
}

/// Puts the child of `command` in the cgroup whose `cgroup.procs` is at `path`.
pub(crate) fn in_cgroup(command: &mut Command, path: std::ffi::CString) {
    let hook = move || {
        let fd = rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        // 0 is whoever writes.
        rustix::io::write(&fd, b"0")?;
        Ok(())
    };
    // SAFETY: the hook opens, writes and closes; the path was made before the fork.
    unsafe { command.pre_exec(hook) };
}

/// Moves the calling thread to the network namespace at `path`.
pub(crate) fn join_netns(path: &CStr) -> io::Result<()> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    move_into_link_name_space(fd.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// Moves the calling thread to the mount namespace at `path`.
pub(crate) fn join_mounts(path: &CStr) -> io::Result<()> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // SAFETY: FS is not FILES; the thread gets a root and working folder of its own, without which
    // it may not change its mounts.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS)? };
    move_into_link_name_space(fd.as_fd(), Some(LinkNameSpaceType::Mount))?;
    Ok(())
}

/// Moves the calling thread to a new network namespace.
fn unshare_netns() -> io::Result<()> {
    // SAFETY: NEWNET is not FILES; no descriptor table is unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)? };
    Ok(())
}

/// Moves the calling thread to a mount namespace of its own, a copy of the one it was in.
pub(crate) fn unshare_mounts() -> io::Result<()> {
    // SAFETY: NEWNS takes the thread's working directory and root along, no descriptor table.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)? };
    Ok(())
}

/// Sets `lo` up in the network namespace of the calling thread.
pub(crate) fn loopback_up() -> io::Result<()> {
    change_loopback(libc::SIOCSIFFLAGS as libc::Ioctl, |request| {
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    })
}

/// Changes `lo` by a request that is an `ifreq`, which the kernel only reads.
fn change_loopback(code: libc::Ioctl, fill: impl FnOnce(&mut libc::ifreq)) -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: `ifreq` is plain old data, for which all zeroes are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    fill(&mut request);
    let fd = socket.as_raw_fd();
    // SAFETY: the descriptor is open, and `code` reads an `ifreq` (see the callers) that outlives
    // the call.
    if unsafe { libc::ioctl(fd, code, &raw const request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes SIGTERM and SIGINT end the calling process with exit code 0 at once. The first process
/// of a container ignores both unless it handles them.
pub(crate) fn exit_on_signals() {
    extern "C" fn leave(_signal: libc::c_int) {
        // SAFETY: `_exit` is async-signal-safe and does not return.
        unsafe { libc::_exit(0) }
    }
    let handler = leave as extern "C" fn(libc::c_int) as libc::sighandler_t;
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the handler calls nothing but `_exit`.
        unsafe { libc::signal(signal, handler) };
    }
}

/// Ends the calling thread alone. Called on the main thread it leaves a thread-group leader that
/// has exited while the other threads live on.
pub(crate) fn exit_thread() -> ! {
    // SAFETY: SYS_exit ends the calling thread and does not return; nothing on its stack is
    // borrowed by another thread, since its callers hand over what they share by value.
    unsafe {
        libc::syscall(libc::SYS_exit, 0);
        libc::_exit(0)
    }
}

/// Sends `signal` to the process `pid`.
pub(crate) fn kill(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// The state of a TCP socket as the kernel numbers it (`TCP_ESTABLISHED` is 1).
pub(crate) fn tcp_state(socket: &impl AsFd) -> io::Result<u8> {
    // The first member.
    tcp_info::<1>(socket).map(|[state]| state)
}

/// How many connections wait at a listener to be accepted.
pub(crate) fn accept_queue(listener: &impl AsFd) -> io::Result<u32> {
    // `tcpi_unacked`, which says that of a listener, follows eight bytes and four words.
    let info: [u8; 28] = tcp_info(listener)?;
    let [.., a, b, c, d] = info;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// The first `N` bytes of `struct tcp_info`.
fn tcp_info<const N: usize>(socket: &impl AsFd) -> io::Result<[u8; N]> {
    let mut info = [0; N];
    let mut length = N as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
    // SAFETY: the descriptor is open, and at most `length` bytes are written to `info`.
    let result =
        unsafe { libc::getsockopt(fd, level, name, info.as_mut_ptr().cast(), &raw mut length) };
    if result == 0 {
        Ok(info)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Keeps a connection to a listener a request for some seconds, until its client sends something.
pub(crate) fn defer_accept(socket: &impl AsFd, seconds: libc::c_int) -> io::Result<()> {
    set_tcp(socket, libc::TCP_DEFER_ACCEPT, seconds)
}

/// Sets how often a socket that connects sends its SYN again.
pub(crate) fn set_syn_count(socket: &impl AsFd, count: libc::c_int) -> io::Result<()> {
    set_tcp(socket, libc::TCP_SYNCNT, count)
}

/// Sets an option of TCP that is an `int`.
fn set_tcp(socket: &impl AsFd, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set(socket, libc::IPPROTO_TCP, name, &value)
}

/// Sets an option that is a `T`.
fn set<T>(socket: &impl AsFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and `length` bytes are read of a value that outlives the
    // call, as does what it points to (see the callers).
    if unsafe { libc::setsockopt(fd, level, name, (&raw const *value).cast(), length) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Drops every packet that arrives for a socket from here on, before the socket sees it.
pub(crate) fn receive_nothing(socket: &impl AsFd) -> io::Result<()> {
    let mut nothing = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: 0,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw mut nothing,
    };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Ends [`receive_nothing`].
pub(crate) fn receive_again(socket: &impl AsFd) -> io::Result<()> {
    let ignored: libc::c_int = 0;
    set(socket, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &ignored)
}

/// Sets how much `lo` takes at once, in the network namespace of the calling thread.
pub(crate) fn set_loopback_mtu(bytes: libc::c_int) -> io::Result<()> {
    change_loopback(libc::SIOCSIFMTU as libc::Ioctl, |request| {
        request.ifr_ifru.ifru_mtu = bytes;
    })
}
