//! One pass over the processes of `/proc`: which of them count, and what container each is of.

use std::collections::HashMap;
use std::io;
use std::thread;

use crate::container::Runtime;
use crate::discovery::container_id::of_process;
use crate::procfs::process::is_gone;
use crate::procfs::{ProcFs, Process, stat};

/// Threads that look side by side.
const MAX_WORKERS: usize = 4;

/// Fewer processes than this are not worth a thread.
const MIN_PER_WORKER: usize = 128;

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

/// What a walk is made by.
pub(super) struct Round<'a, W> {
    /// The proc file system.
    pub(super) procfs: &'a ProcFs,
    /// Inode number of the host's network namespace: of its processes, those count that are in a
    /// container's cgroup.
    pub(super) host_inode: u64,
    /// Processes of the last walk, by id.
    pub(super) standing: &'a HashMap<u32, Standing<'a>>,
    /// Which namespaces' processes count.
    pub(super) wanted: W,
}

impl<W: Fn(u64) -> bool + Sync> Round<'_, W> {
    /// Looks at every process, side by side where there are many.
    pub(super) fn walk(&self) -> io::Result<Walk> {
        // Process 1 is the host's by definition, and where it is out of our reach no container is
        // missing for it.
        let mut pids = self.procfs.pids()?;
        pids.retain(|&pid| pid != 1);
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let share = pids.len().div_ceil(workers.min(MAX_WORKERS));
        let mut shares = pids.chunks(share.max(MIN_PER_WORKER));
        let own = shares.next().unwrap_or_default();
        thread::scope(|scope| {
            let others: Vec<_> = shares
                .map(|pids| scope.spawn(|| self.look_at(pids)))
                .collect();
            let mut walk = self.look_at(own);
            for other in others {
                let other = other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                walk.members.extend(other.members);
                walk.denied += other.denied;
            }
            Ok(walk)
        })
    }

    fn look_at(&self, pids: &[u32]) -> Walk {
        let mut walk = Walk::default();
        let mut buffer = Vec::new();
        for &pid in pids {
            match self.member(pid, &mut buffer) {
                Ok(member) => walk.members.extend(member),
                Err(_) => walk.denied += 1,
            }
        }
        walk
    }

    /// A process that counts; `None` for one that does not, or is gone.
    ///
    /// # Errors
    /// Its namespace could not be looked at.
    fn member(&self, pid: u32, buffer: &mut Vec<u8>) -> io::Result<Option<Member>> {
        let procfs = self.procfs;
        // Through the guard it is one call to learn that it stands, and where.
        let known = self.standing.get(&pid).and_then(|known| {
            let inode = known.process.netns_inode().ok()?;
            (inode == known.inode).then_some(known)
        });
        if let Some(known) = known.filter(|known| known.is_settled) {
            let container = known
                .container
                .map(|(id, runtime)| (id.to_owned(), runtime));
            return Ok((self.wanted)(known.inode).then_some(Member {
                pid,
                thread: None,
                inode: known.inode,
                container,
                stands: true,
            }));
        }
        let (thread, inode) = match procfs.netns_inode(pid) {
            Ok(inode) => (None, inode),
            Err(error) if is_gone(&error) => match living_thread(procfs, pid, buffer) {
                Some((thread, inode)) => (Some(thread), inode),
                None => return Ok(None),
            },
            Err(error) => return Err(error),
        };
        if !(self.wanted)(inode) {
            return Ok(None);
        }
        // The files of a thread are those of its process here, and outlive the leader.
        let path = match thread {
            Some(thread) => format!("{pid}/task/{thread}/cgroup"),
            None => format!("{pid}/cgroup"),
        };
        if procfs.read(path, buffer).is_err() {
            return Ok(None);
        }
        let container =
            of_process(buffer).map(|container| (container.id.to_owned(), container.runtime));
        if inode == self.host_inode && container.is_none() {
            return Ok(None);
        }
        Ok(Some(Member {
            pid,
            thread,
            inode,
            container,
            stands: known.is_some(),
        }))
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
