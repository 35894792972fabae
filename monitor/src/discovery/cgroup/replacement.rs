//! Other processes of containers whose known process has exited.

use std::collections::HashMap;

use crate::container::Container;
use crate::discovery::container_id::of_process;
use crate::procfs::process::is_gone;
use crate::procfs::{ProcFs, Process};

/// [`replacements`] for one container.
pub fn replacement(procfs: &ProcFs, container: &Container) -> Option<Process> {
    replacements(procfs, &[container]).pop().flatten()
}

/// For each container another living process of it, with a network namespace that can be read: a
/// thread that outlived its exited leader, else a process whose cgroup path has the container's
/// id.
///
/// Where a container has no thread left, the cgroup file of every process is read, once for all
/// containers: this is for processes that were found gone, not for every scrape.
pub fn replacements(procfs: &ProcFs, containers: &[&Container]) -> Vec<Option<Process>> {
    let mut buffer = Vec::new();
    let mut found: Vec<Option<Process>> = containers
        .iter()
        .map(|container| living_thread(procfs, &container.process, &mut buffer))
        .collect();
    let wanted: HashMap<&str, usize> = containers
        .iter()
        .enumerate()
        .filter(|(index, container)| found[*index].is_none() && !container.id.is_empty())
        .map(|(index, container)| (container.id.as_str(), index))
        .collect();
    search(procfs, wanted, &mut found, &mut buffer);
    found
}

/// A living process of the container with this id, by its cgroup path.
pub fn process_of(procfs: &ProcFs, id: &str) -> Option<Process> {
    let mut found = [None];
    search(
        procfs,
        HashMap::from([(id, 0)]),
        &mut found,
        &mut Vec::new(),
    );
    let [process] = found;
    process
}

/// Reads the cgroup file of every process, for processes of the containers with the wanted ids;
/// what was found for each goes to its place in `found`.
fn search(
    procfs: &ProcFs,
    mut wanted: HashMap<&str, usize>,
    found: &mut [Option<Process>],
    buffer: &mut Vec<u8>,
) {
    // Listing the processes is not free.
    if wanted.is_empty() {
        return;
    }
    for pid in procfs.pids().unwrap_or_default() {
        if procfs.read(format!("{pid}/cgroup"), buffer).is_err() {
            continue;
        }
        let Some(id) = of_process(buffer).map(|container| container.id.to_owned()) else {
            continue;
        };
        let Some(&index) = wanted.get(id.as_str()) else {
            continue;
        };
        if let Some(process) = living_process(procfs, pid, &id, buffer) {
            found[index] = Some(process);
            wanted.remove(id.as_str());
            if wanted.is_empty() {
                return;
            }
        }
    }
}

/// Process `pid`, or a thread of it, if it belongs to container `id` and its namespace can be
/// read.
fn living_process(procfs: &ProcFs, pid: u32, id: &str, buffer: &mut Vec<u8>) -> Option<Process> {
    // Ask the guard again: since the pid was looked at it may have gone to another process.
    let process = procfs.process(pid).ok()?;
    process.read(c"cgroup", buffer).ok()?;
    if of_process(buffer)?.id != id {
        return None;
    }
    match process.netns_inode() {
        Ok(_) => Some(process),
        Err(error) if is_gone(&error) => living_thread(procfs, &process, buffer),
        Err(_) => None,
    }
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
