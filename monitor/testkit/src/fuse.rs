//! A file system served by this process (FUSE, `include/uapi/linux/fuse.h`), which hangs until it
//! is told to answer: what a server that went away looks like to who asks for its size. There are
//! folders in it, called by numbers.

use std::ffi::CString;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, mount};

use crate::sys;

/// Blocks of the file system, of 4096 bytes each.
pub const BLOCKS: u64 = 1_000;
/// Free ones, and those for all.
pub const FREE: u64 = 400;

const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const STATFS: u32 = 17;
const INIT: u32 = 26;

/// How often the serving thread looks whether it shall end.
const PATIENCE: Duration = Duration::from_millis(10);

/// A mounted file system. Dropping it ends the connection: whoever waits for it gets an error.
#[derive(Debug)]
pub struct Fuse {
    device: Arc<File>,
    ends: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Fuse {
    /// Mounts at `point`, a folder, in the mount namespace of the process `pid`. It hangs.
    ///
    /// # Errors
    /// Without FUSE in the kernel, or the right to mount.
    pub fn mount(pid: u32, point: &Path) -> Result<Self> {
        let device = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/fuse")
            .context("can't open /dev/fuse")?;
        let namespace = CString::new(format!("/proc/{pid}/ns/mnt"))?;
        let data = CString::new(format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
            device.as_raw_fd()
        ))?;
        std::thread::scope(|scope| {
            let inside = || -> Result<()> {
                sys::join_mounts(&namespace)?;
                mount("hanging", point, "fuse", MountFlags::empty(), Some(&*data))
                    .with_context(|| format!("can't mount at {}", point.display()))
            };
            scope
                .spawn(inside)
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        Ok(Self {
            device: Arc::new(device),
            ends: Arc::default(),
            server: None,
        })
    }

    /// Answers from now on, also what waits.
    pub fn answer(&mut self) {
        self.ends.store(false, Ordering::Relaxed);
        let (device, ends) = (Arc::clone(&self.device), Arc::clone(&self.ends));
        self.server = Some(std::thread::spawn(move || serve(&device, &ends)));
    }

    /// Hangs again.
    pub fn hang(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            // It has no panic of its own worth another one.
            server.join().ok();
        }
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.hang();
    }
}

fn serve(mut device: &File, ends: &AtomicBool) {
    let mut request = vec![0; 1 << 17];
    while !ends.load(Ordering::Relaxed) {
        match device.read(&mut request) {
            Ok(length) if length >= 40 => {
                let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|i| request[at + i]));
                let unique = &request[8..16];
                let (error, body) = match word(4) {
                    INIT => (0, init()),
                    STATFS => (0, statfs()),
                    GETATTR => (0, attributes(word(16))),
                    LOOKUP => match number(&request[40..length]) {
                        Some(number) => (0, entry(number + ROOT + 1)),
                        None => (-libc::ENOENT, Vec::new()),
                    },
                    _ => (-libc::ENOSYS, Vec::new()),
                };
                let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
                let header = [&length.to_ne_bytes()[..], &error.to_ne_bytes(), unique];
                let answer = [&header.concat()[..], &body].concat();
                // What was interrupted meanwhile wants no answer.
                device.write_all(&answer).ok();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PATIENCE),
            // Unmounted.
            _ => break,
        }
    }
}

/// `struct fuse_init_out`: version 7.31.
fn init() -> Vec<u8> {
    let mut out = vec![0; 64];
    out[0..4].copy_from_slice(&7u32.to_ne_bytes());
    out[4..8].copy_from_slice(&31u32.to_ne_bytes());
    out[20..24].copy_from_slice(&4096u32.to_ne_bytes());
    out
}

/// `struct fuse_statfs_out`.
fn statfs() -> Vec<u8> {
    let mut out = vec![0; 80];
    for (at, value) in [BLOCKS, FREE, FREE, 50, 20].into_iter().enumerate() {
        out[at * 8..at * 8 + 8].copy_from_slice(&value.to_ne_bytes());
    }
    for (at, value) in [4096u32, 255, 4096].into_iter().enumerate() {
        out[40 + at * 4..44 + at * 4].copy_from_slice(&value.to_ne_bytes());
    }
    out
}

/// The number of the root folder; others follow it.
const ROOT: u32 = 1;

/// The number that a folder's name is.
fn number(name: &[u8]) -> Option<u32> {
    let name = std::ffi::CStr::from_bytes_until_nul(name).ok()?;
    name.to_str().ok()?.parse().ok()
}

/// `struct fuse_entry_out` of a folder, which is to be asked for each time.
fn entry(node: u32) -> Vec<u8> {
    let mut out = vec![0; 40];
    out[0..4].copy_from_slice(&node.to_ne_bytes());
    out.extend(attribute(node));
    out
}

/// `struct fuse_attr_out` of a folder.
fn attributes(node: u32) -> Vec<u8> {
    [vec![0; 16], attribute(node)].concat()
}

/// `struct fuse_attr` of a folder.
fn attribute(node: u32) -> Vec<u8> {
    let mut out = vec![0; 88];
    out[0..4].copy_from_slice(&node.to_ne_bytes());
    out[60..64].copy_from_slice(&(libc::S_IFDIR | 0o755).to_ne_bytes());
    out[64..68].copy_from_slice(&2u32.to_ne_bytes());
    out
}
