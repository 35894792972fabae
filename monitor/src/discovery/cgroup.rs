//! Containers found in `/proc` alone, without any runtime.
//!
//! Every network namespace that has a process and is neither the host's nor known already counts;
//! in the host's own, processes in a container's cgroup do. Its processes are told apart by the container id in their cgroup path, so that the containers
//! of a pod are several; a namespace in which no process has such an id is one container, named
//! after its entry in `/run/netns`, else after its oldest process.
//!
//! A scan costs one `stat` call for each process of the machine and a small read for each one
//! that may count. What it found last time it keeps: the guard on a process that still stands is
//! not opened again, and after ten seconds its cgroup and name are not read again. Pods' names,
//! images and network modes are not to be had this way.

mod names;
mod replacement;
mod walk;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use replacement::{process_of, replacement, replacements};

use self::names::{NetnsNames, unique_names};
use self::walk::{Member, Round, Standing};
use crate::container::{Container, Runtime};
use crate::discovery::container_id::short_id;
use crate::procfs::{ProcFs, Process, stat};

/// A clock tick of `/proc/<pid>/stat` in nanoseconds: `USER_HZ` is 100 on every architecture that
/// eBPF and Rust's Linux targets have in common.
const TICK_NS: u64 = 10_000_000;

/// How long after it was first seen a process's cgroup and name are read again: it is moved into its
/// cgroup, and becomes another program, a moment after it was made.
const SETTLED: Duration = Duration::from_secs(10);

/// The processes that form one container: those of one network namespace with one container id,
/// or those of a namespace without any id.
type GroupKey = (u64, Option<String>);

/// What one scan found.
#[derive(Debug, Default)]
pub struct Scan {
    /// The containers, oldest first. Names are unique, and ids where they are not empty.
    pub containers: Vec<Arc<Container>>,
    /// Inode number of each one's network namespace.
    pub inodes: Vec<u64>,
    /// Processes whose network namespace could not be read for want of a right (or for another
    /// error that is no exit): what they belong to may be missing.
    pub denied: usize,
}

/// Finds containers in `/proc`, and remembers what the last scan found.
#[derive(Debug, Default)]
pub struct Scanner {
    known: HashMap<GroupKey, Known>,
    /// When the machine was booted, in nanoseconds since the Unix epoch.
    boot_time: Option<u64>,
    buffer: Vec<u8>,
}

/// A container of the last scan.
#[derive(Debug)]
struct Known {
    /// The name before it was made unique.
    base_name: String,
    /// Whether that is the command name of its process.
    is_command: bool,
    container: Arc<Container>,
    /// When its process was first seen to stand for it.
    since: Instant,
}

/// A container of this scan, not named yet.
struct Candidate {
    key: GroupKey,
    runtime: Runtime,
    base_name: String,
    is_command: bool,
    started: u64,
    process: Arc<Process>,
}

impl Scanner {
    /// A scanner that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at every process. Namespaces with an inode number in `known` are passed over, and of
    /// the host's own all that is no container; container ids in `taken` are another source's.
    /// Processes may come and go meanwhile: those that went are left out.
    ///
    /// # Errors
    /// The root of the proc file system cannot be read.
    pub fn scan(
        &mut self,
        procfs: &ProcFs,
        host_netns_inode: u64,
        known: &HashSet<u64>,
        taken: &HashSet<&str>,
    ) -> io::Result<Scan> {
        let now = Instant::now();
        let standing = standing(&self.known, now);
        let walk = Round {
            procfs,
            host_inode: host_netns_inode,
            standing: &standing,
            wanted: |inode| !known.contains(&inode),
        }
        .walk()?;
        let mut names = NetnsNames::new(procfs);
        let mut candidates = Vec::new();
        for (key, group) in groups(walk.members) {
            // The host's namespace is never known: there, another source's container is met again.
            let (inode, id) = (key.0, key.1.as_deref());
            if inode == host_netns_inode && id.is_some_and(|id| taken.contains(id)) {
                continue;
            }
            candidates.extend(self.candidate(procfs, &mut names, key, &group, now));
        }
        candidates.sort_by_key(|candidate| (candidate.started, candidate.process.pid()));
        Ok(Scan {
            inodes: candidates.iter().map(|candidate| candidate.key.0).collect(),
            containers: self.settle(candidates, taken, now),
            denied: walk.denied,
        })
    }

    /// The process that stands for a group, and the group's name.
    fn candidate(
        &mut self,
        procfs: &ProcFs,
        names: &mut NetnsNames,
        key: GroupKey,
        group: &Group,
        now: Instant,
    ) -> Option<Candidate> {
        let inode = key.0;
        let known = self.known.get(&key);
        let known = known.filter(|known| group.stands(known.container.process.pid()));
        let standing = known.map(|known| {
            let container = &known.container;
            (Arc::clone(&container.process), container.started)
        });
        let settled_name = known
            .filter(|known| known.is_command && now - known.since >= SETTLED)
            .map(|known| known.base_name.clone());
        let (process, started) = match standing {
            Some(standing) => standing,
            None => {
                let (process, since_boot) = group.oldest(procfs, inode, &mut self.buffer)?;
                (process, self.boot_time(procfs).saturating_add(since_boot))
            }
        };
        let (base_name, is_command) = match (&key.1, names.get(inode)) {
            (Some(id), _) => (short_id(id).to_owned(), false),
            (None, Some(name)) => (name.to_owned(), false),
            (None, None) => match settled_name {
                Some(name) => (name, true),
                None => (walk::comm(&process, &mut self.buffer)?, true),
            },
        };
        Some(Candidate {
            key,
            runtime: group.runtime,
            base_name,
            is_command,
            started,
            process,
        })
    }

    fn boot_time(&mut self, procfs: &ProcFs) -> u64 {
        *self.boot_time.get_or_insert_with(|| {
            let text = procfs
                .read(c"stat", &mut self.buffer)
                .map(|()| &self.buffer[..]);
            text.ok().and_then(stat::boot_time).unwrap_or(0)
        })
    }

    /// Names the candidates and remembers them, with the old [`Arc`] where nothing changed.
    fn settle(
        &mut self,
        candidates: Vec<Candidate>,
        taken: &HashSet<&str>,
        now: Instant,
    ) -> Vec<Arc<Container>> {
        let mut before = std::mem::take(&mut self.known);
        let names = unique_names(candidates.iter().map(|candidate| {
            let kept = before
                .get(&candidate.key)
                .filter(|known| known.base_name == candidate.base_name)
                .map(|known| known.container.name.as_str());
            (candidate.base_name.as_str(), candidate.key.0, kept)
        }));
        let mut ids = HashSet::new();
        let mut containers = Vec::with_capacity(candidates.len());
        for (candidate, name) in candidates.into_iter().zip(names) {
            // A process of a container that made a network namespace of its own: the id stays
            // with the runtime's container or the oldest, so that it names one.
            let id = match &candidate.key.1 {
                Some(id) if !taken.contains(id.as_str()) && ids.insert(id.clone()) => id.clone(),
                _ => String::new(),
            };
            let old = before.remove(&candidate.key);
            let since = old
                .as_ref()
                .filter(|old| Arc::ptr_eq(&old.container.process, &candidate.process))
                .map_or(now, |old| old.since);
            let container = match old {
                Some(old)
                    if Arc::ptr_eq(&old.container.process, &candidate.process)
                        && old.container.name == name
                        && old.container.id == id =>
                {
                    old.container
                }
                _ => Arc::new(Container {
                    id,
                    name,
                    image: String::new(),
                    runtime: candidate.runtime,
                    pod: None,
                    pod_labels: Arc::default(),
                    sandbox: false,
                    network_mode: String::new(),
                    started: candidate.started,
                    process: candidate.process,
                }),
            };
            containers.push(Arc::clone(&container));
            self.known.insert(
                candidate.key,
                Known {
                    base_name: candidate.base_name,
                    is_command: candidate.is_command,
                    container,
                    since,
                },
            );
        }
        containers
    }
}

/// The processes of the last scan that have a guard, by id.
fn standing(known: &HashMap<GroupKey, Known>, now: Instant) -> HashMap<u32, Standing<'_>> {
    let all = known.iter().map(|((inode, id), known)| {
        let container = &known.container;
        let standing = Standing {
            process: &container.process,
            inode: *inode,
            container: id.as_deref().map(|id| (id, container.runtime)),
            is_settled: now - known.since >= SETTLED,
        };
        (container.process.pid(), standing)
    });
    all.collect()
}

/// Processes that belong together.
struct Group {
    runtime: Runtime,
    members: Vec<Member>,
}

impl Group {
    fn stands(&self, pid: u32) -> bool {
        let mut members = self.members.iter();
        members.any(|member| member.pid == pid && member.stands)
    }

    /// The member that started first and still lives, with its start in nanoseconds since boot.
    fn oldest(
        &self,
        procfs: &ProcFs,
        inode: u64,
        buffer: &mut Vec<u8>,
    ) -> Option<(Arc<Process>, u64)> {
        let mut members: Vec<(u64, &Member)> = self
            .members
            .iter()
            .filter_map(|member| Some((member.start_ticks(procfs, buffer)?, member)))
            .collect();
        members.sort_by_key(|(ticks, member)| (*ticks, member.pid));
        members.into_iter().find_map(|(ticks, member)| {
            let process = member.open(procfs).ok()?;
            // The pid may have gone to another process since it was listed.
            let same = process.netns_inode().is_ok_and(|now| now == inode)
                && member.start_ticks(procfs, buffer) == Some(ticks);
            same.then(|| (Arc::new(process), ticks.saturating_mul(TICK_NS)))
        })
    }
}

/// Sorts processes into groups. Where a namespace has a process with a container id, those without
/// belong to nobody.
fn groups(members: Vec<Member>) -> BTreeMap<GroupKey, Group> {
    let mut groups: BTreeMap<GroupKey, Group> = BTreeMap::new();
    let with_ids: HashSet<u64> = members
        .iter()
        .filter(|member| member.container.is_some())
        .map(|member| member.inode)
        .collect();
    for mut member in members {
        let (id, runtime) = match member.container.take() {
            Some((id, runtime)) => (Some(id), runtime),
            None if with_ids.contains(&member.inode) => continue,
            None => (None, Runtime::None),
        };
        groups
            .entry((member.inode, id))
            .or_insert_with(|| Group {
                runtime,
                members: Vec::new(),
            })
            .members
            .push(member);
    }
    groups
}

#[cfg(test)]
mod tests;
