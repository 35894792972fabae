//! [`ProcFs`], the root of a proc file system, and [`Process`], a guard on one process of it.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, Mode, OFlags, open, openat, readlinkat_raw, statat};
use rustix::io::{Errno, read, retry_on_intr};

/// Bytes read at a time; every file that is read at a scrape fits.
const CHUNK: usize = 16 * 1024;

/// Bytes of a file of many records after which no more are read.
const MOST_RECORDS: usize = 1 << 20;

/// A proc file system, `/proc` or where a container has the host's mounted.
#[derive(Debug)]
pub struct ProcFs {
    root: PathBuf,
    dir: OwnedFd,
}

impl ProcFs {
    /// Opens the proc file system at `root`.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn open(root: &Path) -> io::Result<Self> {
        let dir = open(
            root,
            OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self {
            root: root.to_owned(),
            dir,
        })
    }

    /// Where it is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Opens a guard on process `pid`.
    ///
    /// # Errors
    /// `ENOENT` or `ESRCH` when there is no such process.
    pub fn process(&self, pid: u32) -> io::Result<Process> {
        self.open_process(pid, &pid.to_string())
    }

    /// Opens a guard on a process that stands in the host's network namespace: process 1, or
    /// process 2, the kernel's thread that starts the others, where a security policy or more
    /// capabilities than ours put process 1 out of reach.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    pub fn host_process(&self) -> io::Result<Process> {
        let init = self.process(1)?;
        match init.netns_inode() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.process(2),
            _ => Ok(init),
        }
    }

    /// Opens a guard on thread `tid` of process `pid`: its files answer where those of an exited
    /// thread-group leader do not.
    ///
    /// # Errors
    /// `ENOENT` or `ESRCH` when there is no such thread.
    pub fn thread(&self, pid: u32, tid: u32) -> io::Result<Process> {
        self.open_process(pid, &format!("{pid}/task/{tid}"))
    }

    fn open_process(&self, pid: u32, path: &str) -> io::Result<Process> {
        let dir = openat(
            &self.dir,
            path,
            OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Process { pid, dir })
    }

    /// The thread ids of process `pid`, in the kernel's order.
    ///
    /// # Errors
    /// The process is gone, or the folder cannot be read.
    pub fn threads(&self, pid: u32) -> io::Result<Vec<u32>> {
        numbered_entries(openat(
            &self.dir,
            format!("{pid}/task"),
            OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }

    /// All process ids, in the kernel's order (ascending).
    ///
    /// # Errors
    /// The root cannot be read.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        numbered_entries(openat(
            &self.dir,
            c".",
            OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }

    /// Reads the file at `path`, relative to the root, into `buffer`, replacing what it held.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn read<P: rustix::path::Arg>(&self, path: P, buffer: &mut Vec<u8>) -> io::Result<()> {
        read_at(&self.dir, path, buffer)
    }

    /// The inode number of process `pid`'s network namespace, without opening a guard on it.
    ///
    /// # Errors
    /// As [`Process::netns_inode`].
    pub fn netns_inode(&self, pid: u32) -> io::Result<u64> {
        netns_inode(&self.dir, &*format!("{pid}/ns/net"))
    }
}

/// A guard on one process: an `O_DIRECTORY` descriptor of `/proc/<pid>`.
///
/// It neither keeps the process's namespaces alive (a descriptor of a file below `net/` or `ns/`
/// would) nor lets another process that reuses the pid answer in its place: once the process is
/// gone, every read through it fails with `ESRCH` or `ENOENT`.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    dir: OwnedFd,
}

impl Process {
    /// The process id, as `/proc` shows it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Reads the file at `path`, relative to `/proc/<pid>`, into `buffer`, replacing what it held.
    ///
    /// # Errors
    /// `ENOENT` for a file that this kernel does not have, for `net/*` of a zombie and for a
    /// process that is gone (`ESRCH` as well); whatever else the kernel says.
    pub fn read(&self, path: &CStr, buffer: &mut Vec<u8>) -> io::Result<()> {
        read_at(&self.dir, path, buffer)
    }

    /// The inode number of the process's network namespace.
    ///
    /// # Errors
    /// `ENOENT` for a zombie and an exited thread-group leader, `ESRCH` once the process is gone,
    /// `EACCES` without the right to look (`CAP_SYS_PTRACE`).
    pub fn netns_inode(&self) -> io::Result<u64> {
        netns_inode(&self.dir, c"ns/net")
    }

    /// The inode number of the process's mount namespace.
    ///
    /// # Errors
    /// As [`Process::netns_inode`].
    pub fn mount_namespace(&self) -> io::Result<u64> {
        namespace_inode(&self.dir, c"ns/mnt", b"mnt:[")
    }

    /// The inode number of the process's user namespace.
    ///
    /// # Errors
    /// As [`Process::netns_inode`].
    pub fn user_namespace(&self) -> io::Result<u64> {
        namespace_inode(&self.dir, c"ns/user", b"user:[")
    }

    /// A descriptor of the process's mount namespace, to be closed at once: as long as it is open
    /// it keeps the namespace alive, with all that is mounted there.
    ///
    /// # Errors
    /// As [`Process::netns_inode`].
    pub fn open_mount_namespace(&self) -> io::Result<OwnedFd> {
        Ok(openat(
            &self.dir,
            c"ns/mnt",
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }

    /// A descriptor of the process's cgroup namespace, for a short visit.
    ///
    /// # Errors
    /// As [`Process::netns_inode`]; `ENOENT` where the kernel has none (before Linux 4.6).
    pub fn open_cgroup_namespace(&self) -> io::Result<OwnedFd> {
        Ok(openat(
            &self.dir,
            c"ns/cgroup",
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }

    /// A descriptor of the process's root folder (`O_PATH`), for a short visit: as long as it is
    /// open its file system cannot be unmounted.
    ///
    /// # Errors
    /// As [`Process::netns_inode`].
    pub fn open_root(&self) -> io::Result<OwnedFd> {
        Ok(openat(
            &self.dir,
            c"root",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }

    /// Reads a file of many records, such as `mountinfo`, as [`Process::read`] does others: the
    /// kernel gives a page at most at a time, and only a read of nothing is the end. Of a file of
    /// more than a mebibyte the first lines are read: a process may have made it that long.
    ///
    /// # Errors
    /// As [`Process::read`].
    pub fn read_records(&self, path: &CStr, buffer: &mut Vec<u8>) -> io::Result<()> {
        let file = openat(
            &self.dir,
            path,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        buffer.clear();
        loop {
            buffer.reserve(CHUNK);
            match retry_on_intr(|| read(&file, spare_capacity(buffer))) {
                Ok(0) => return Ok(()),
                Ok(_) if buffer.len() > MOST_RECORDS => {
                    let end = memchr::memrchr(b'\n', buffer).map_or(0, |at| at + 1);
                    buffer.truncate(end);
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => {
                    buffer.clear();
                    return Err(error.into());
                }
            }
        }
    }

    /// A descriptor of the process's network namespace, for a short visit: as long as it is open
    /// it keeps the namespace alive.
    ///
    /// # Errors
    /// As [`Process::netns_inode`].
    pub fn open_netns(&self) -> io::Result<OwnedFd> {
        Ok(openat(
            &self.dir,
            c"ns/net",
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }
}

/// Whether an error of a read through a [`Process`] says that it has exited (or is a zombie).
pub fn is_gone(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::SRCH)
    )
}

/// The inode number of a network namespace.
fn netns_inode<P: rustix::path::Arg + Copy>(dir: &OwnedFd, path: P) -> io::Result<u64> {
    namespace_inode(dir, path, b"net:[")
}

/// The number in the link's text (`net:[4026531840]`), which costs half of what following the link
/// does: the kernel makes an inode for that.
fn namespace_inode<P: rustix::path::Arg + Copy>(
    dir: &OwnedFd,
    path: P,
    prefix: &[u8],
) -> io::Result<u64> {
    let mut text = [MaybeUninit::uninit(); 64];
    let number = match readlinkat_raw(dir, path, &mut text) {
        Ok((text, _)) => text
            .strip_prefix(prefix)
            .and_then(|text| text.strip_suffix(b"]"))
            .and_then(|text| str::from_utf8(text).ok()?.parse().ok()),
        // What is no link, as in a copy of /proc, still has a number of its own.
        Err(Errno::INVAL) => None,
        Err(error) => return Err(error.into()),
    };
    match number {
        Some(number) => Ok(number),
        None => Ok(statat(dir, path, AtFlags::empty())?.st_ino),
    }
}

/// Reads a file that the kernel shows in one piece (`single_open` in `fs/seq_file.c`, and sysctl
/// files): a read that leaves room in the buffer was the last, and needs no other one to say so.
/// Files of many records, such as `net/tcp` and `mountinfo`, are none of these.
fn read_at<P: rustix::path::Arg>(dir: &OwnedFd, path: P, buffer: &mut Vec<u8>) -> io::Result<()> {
    let file = openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    buffer.clear();
    loop {
        buffer.reserve(CHUNK);
        let room = buffer.capacity() - buffer.len();
        match retry_on_intr(|| read(&file, spare_capacity(buffer))) {
            Ok(count) if count < room => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                buffer.clear();
                return Err(error.into());
            }
        }
    }
}

fn numbered_entries(dir: OwnedFd) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in rustix::fs::Dir::new(dir)? {
        let entry = entry?;
        numbers.extend(
            entry
                .file_name()
                .to_str()
                .ok()
                .and_then(|name| name.parse::<u32>().ok()),
        );
    }
    Ok(numbers)
}
