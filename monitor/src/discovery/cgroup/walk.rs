//! One pass over the processes of `/proc`: which of them count, and what container each is of.

use std::collections::HashMap;
use std::io;

use crate::container::Runtime;
use crate::discovery::container_id::of_process;
use crate::procfs::process::is_gone;
use crate::procfs::{ProcFs, Process, stat};

/// A process that counts.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) pid: u32,
    /// The living thread to look at, where the thread-group leader has exited.
    pub(super) thread: Option<u32>,
    /// Inode number of its network namespace.
    pub(super) inode: u64,
    /// Container id and runtime from its cgroup path.
    pub(super) container: Option<(String, Runtime)>,
    /// Whether a guard says that it is still the process that was there at the last scan.
    pub(super) stands: bool,
}

/// A process that was there at the last scan and has a guard.
pub(super) struct Standing<'a> {
    pub(super) process: &'a Process,
    /// Its namespace then.
    pub(super) inode: u64,
    /// Its container then.
    pub(super) container: Option<(&'a str, Runtime)>,
    /// Whether it has been that container's for so long that it stays so: a runtime moves a process
    /// into its cgroup a moment after it has made it.
    pub(super) is_settled: bool,
}

impl Member {
    /// Opens a guard on it.
    pub(super) fn open(&self, procfs: &ProcFs) -> io::Result<Process> {
        match self.thread {
            Some(thread) => procfs.thread(self.pid, thread),
            None => procfs.process(self.pid),
        }
    }

    /// When the process started, in clock ticks since boot; `None` once it is gone.
    pub(super) fn start_ticks(&self, procfs: &ProcFs, buffer: &mut Vec<u8>) -> Option<u64> {
        procfs.read(format!("{}/stat", self.pid), buffer).ok()?;
        stat::parse(buffer).ok().map(|stat| stat.start_ticks)
    }
}

/// What a pass found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) members: Vec<Member>,
    pub(super) denied: usize,
}

impl Walk {
    /// Looks at every process whose network namespace is `wanted`. Of the host's own, those count
    /// that are in a container's cgroup.
    pub(super) fn take(
        procfs: &ProcFs,
        buffer: &mut Vec<u8>,
        host_inode: u64,
        standing: &HashMap<u32, Standing<'_>>,
        wanted: impl Fn(u64) -> bool,
    ) -> io::Result<Self> {
        let mut walk = Self::default();
        // Process 1 is the host's by definition, and where it is out of our reach no container is
        // missing for it.
        for pid in procfs.pids()?.into_iter().filter(|&pid| pid != 1) {
            // Through the guard it is one call to learn that it stands, and where.
            let known = standing.get(&pid).and_then(|known| {
                let inode = known.process.netns_inode().ok()?;
                (inode == known.inode).then_some(known)
            });
            if let Some(known) = known.filter(|known| known.is_settled) {
                if wanted(known.inode) {
                    walk.members.push(Member {
                        pid,
                        thread: None,
                        inode: known.inode,
                        container: known
                            .container
                            .map(|(id, runtime)| (id.to_owned(), runtime)),
                        stands: true,
                    });
                }
                continue;
            }
            let (thread, inode) = match procfs.netns_inode(pid) {
                Ok(inode) => (None, inode),
                Err(error) if is_gone(&error) => match living_thread(procfs, pid, buffer) {
                    Some((thread, inode)) => (Some(thread), inode),
                    None => continue,
                },
                Err(_) => {
                    walk.denied += 1;
                    continue;
                }
            };
            if !wanted(inode) {
                continue;
            }
            // The files of a thread are those of its process here, and outlive the leader.
            let path = match thread {
                Some(thread) => format!("{pid}/task/{thread}/cgroup"),
                None => format!("{pid}/cgroup"),
            };
            if procfs.read(path, buffer).is_err() {
                continue;
            }
            let container =
                of_process(buffer).map(|container| (container.id.to_owned(), container.runtime));
            if inode == host_inode && container.is_none() {
                continue;
            }
            walk.members.push(Member {
                pid,
                thread,
                inode,
                container,
                stands: known.is_some(),
            });
        }
        Ok(walk)
    }
}

/// A living thread of a process whose leader has exited, and its network namespace.
fn living_thread(procfs: &ProcFs, pid: u32, buffer: &mut Vec<u8>) -> Option<(u32, u64)> {
    procfs.read(format!("{pid}/stat"), buffer).ok()?;
    let stat = stat::parse(buffer).ok()?;
    if !stat.has_exited() || stat.threads < 2 {
        return None;
    }
    procfs
        .threads(pid)
        .ok()?
        .into_iter()
        .filter(|&thread| thread != pid)
        .find_map(|thread| {
            let inode = procfs.thread(pid, thread).ok()?.netns_inode().ok()?;
            Some((thread, inode))
        })
}

/// The command name of a process; `None` once it is gone.
pub(super) fn comm(process: &Process, buffer: &mut Vec<u8>) -> Option<String> {
    process.read(c"comm", buffer).ok()?;
    let comm = buffer.strip_suffix(b"\n").unwrap_or(buffer);
    Some(String::from_utf8_lossy(comm).into_owned())
}
