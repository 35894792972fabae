//! Another process of a container whose known process has exited.

use crate::container::Container;
use crate::discovery::container_id::of_process;
use crate::procfs::cgroup::memberships;
use crate::procfs::process::is_gone;
use crate::procfs::{ProcFs, Process};

/// Another living process of the same container, with a network namespace that can be read:
/// a thread that outlived its exited leader; else a process whose cgroup path has the container's
/// id; else, where there is no id, a process of the same cgroup, if that is not the root.
///
/// It reads the cgroup file of every process where no thread is left, so it is for when a
/// container's process was found gone, not for every scrape.
pub fn replacement(procfs: &ProcFs, container: &Container) -> Option<Process> {
    let gone = &container.process;
    let mut buffer = Vec::new();
    if let Some(thread) = living_thread(procfs, gone, &mut buffer) {
        return Some(thread);
    }
    let wanted = if container.id.is_empty() {
        // A zombie still shows its cgroup; a process that is gone altogether shows nothing.
        gone.read(c"cgroup", &mut buffer).ok()?;
        Wanted::Cgroup(own_cgroup(&buffer)?.to_owned())
    } else {
        Wanted::Id(&container.id)
    };
    procfs.pids().ok()?.into_iter().find_map(|pid| {
        procfs.read(format!("{pid}/cgroup"), &mut buffer).ok()?;
        if !wanted.is(&buffer) {
            return None;
        }
        // Ask the guard again: between the two reads the pid may have gone to another process.
        let process = procfs.process(pid).ok()?;
        process.read(c"cgroup", &mut buffer).ok()?;
        if !wanted.is(&buffer) {
            return None;
        }
        match process.netns_inode() {
            Ok(_) => Some(process),
            Err(error) if is_gone(&error) => living_thread(procfs, &process, &mut buffer),
            Err(_) => None,
        }
    })
}

/// What the cgroup file of a process of the container has to say.
enum Wanted<'a> {
    Id(&'a str),
    Cgroup(Vec<u8>),
}

impl Wanted<'_> {
    fn is(&self, cgroup_file: &[u8]) -> bool {
        match self {
            Self::Id(id) => of_process(cgroup_file).is_some_and(|found| found.id == *id),
            Self::Cgroup(path) => own_cgroup(cgroup_file) == Some(path),
        }
    }
}

/// The cgroup that tells processes apart: the unified one, else the first; never a root.
fn own_cgroup(cgroup_file: &[u8]) -> Option<&[u8]> {
    let paths = || {
        memberships(cgroup_file)
            .filter_map(Result::ok)
            .filter(|line| line.path != b"/")
    };
    paths()
        .find(|line| line.is_unified())
        .or_else(|| paths().next())
        .map(|line| line.path)
}

/// A thread that outlived the leader it was started by. The leader's guard answers before and
/// after, so its pid was not given to another process meanwhile.
fn living_thread(procfs: &ProcFs, leader: &Process, buffer: &mut Vec<u8>) -> Option<Process> {
    leader.read(c"stat", buffer).ok()?;
    let thread = procfs
        .threads(leader.pid())
        .ok()?
        .into_iter()
        .filter_map(|thread| procfs.thread(leader.pid(), thread).ok())
        .find(|thread| thread.netns_inode().is_ok())?;
    leader.read(c"stat", buffer).ok()?;
    Some(thread)
}
