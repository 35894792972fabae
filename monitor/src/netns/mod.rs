//! Network namespaces: which containers stand in which, who owns each, and through which process
//! it is read.
//!
//! Nothing here keeps a namespace alive: processes are held by guards ([`Process`]), and what is
//! remembered of a namespace between two scrapes is plain data, valid as long as one of its
//! processes is known to have been there all the time.

mod link;
mod placement;
pub mod visit;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::container::Container;
use crate::discovery::cgroup::replacements;
use crate::procfs::process::is_gone;
use crate::procfs::{ProcFs, Process};

use link::{HostLinks, LinkPair};
pub use placement::{Member, Namespace, Placement};

/// How long a namespace without a link to the host counts as having none: a runtime may move the
/// interface in after the first process is there.
const LINK_RETRY: Duration = Duration::from_secs(60);

/// How long a container without a living process is not searched for again.
const SEARCH_RETRY: Duration = Duration::from_secs(60);

/// What is remembered of a namespace.
#[derive(Debug)]
struct Facts {
    /// As long as this very process is seen in a namespace with this inode number, it is the same
    /// namespace.
    witness: Arc<Process>,
    cookie: Option<u64>,
    link: LinkPair,
    link_asked: Instant,
}

/// Places containers into namespaces.
#[derive(Debug)]
pub struct Placer {
    procfs: Arc<ProcFs>,
    host_inode: u64,
    cookies: bool,
    links: Option<HostLinks>,
    facts: HashMap<u64, Facts>,
    /// Processes that stand for containers whose own has exited, by that one's pid.
    stand_ins: HashMap<u32, (Arc<Process>, Arc<Process>)>,
    /// Processes for which no stand-in was found, and when: a runtime that is down says nothing of
    /// containers that ended, and the search reads every process's cgroup.
    searched: Vec<(Weak<Process>, Instant)>,
    was_refused: bool,
}

impl Placer {
    /// A placer for the processes of `procfs`; `cookies` says whether the kernel gives them out.
    ///
    /// # Errors
    /// The host's network namespace (that of process 1) cannot be looked at.
    pub fn new(procfs: Arc<ProcFs>, cookies: bool) -> io::Result<Self> {
        let init = procfs.host_process()?;
        let host_inode = init.netns_inode()?;
        let links = HostLinks::open(&init)
            .inspect_err(|error| warn!(%error, "cannot read the host's interfaces, host_interface stays empty"))
            .ok();
        Ok(Self {
            procfs,
            host_inode,
            cookies,
            links,
            facts: HashMap::new(),
            stand_ins: HashMap::new(),
            searched: Vec::new(),
            was_refused: false,
        })
    }

    /// Inode number of the host's network namespace.
    pub fn host_inode(&self) -> u64 {
        self.host_inode
    }

    /// Finds the namespace of every container. `scan` is told the inode numbers of the namespaces
    /// found so far and names containers in others, and where it has just seen them. Containers without a living process are in
    /// none.
    pub fn place(
        &mut self,
        containers: &[Arc<Container>],
        scan: impl FnOnce(&HashSet<u64>) -> Vec<(Arc<Container>, u64)>,
    ) -> Placement {
        self.stand_ins.retain(|_, (exited, _)| {
            containers
                .iter()
                .any(|container| Arc::ptr_eq(&container.process, exited))
        });
        let mut found = Found::default();
        self.locate(containers, &mut found);
        for (container, inode) in scan(&found.groups.keys().copied().collect()) {
            let process = Arc::clone(&container.process);
            found.put(self.host_inode, inode, &container, process);
        }
        Placement {
            namespaces: self.namespaces(found.groups),
            host_inode: self.host_inode,
            host_network: found.host_network,
            stand_ins: found.stand_ins,
            errors: found.errors,
            hidden: HashSet::new(),
        }
    }

    fn locate(&mut self, containers: &[Arc<Container>], found: &mut Found) {
        let mut lost = Vec::new();
        for container in containers {
            let process = self.process_of(container);
            match process.netns_inode() {
                Ok(inode) => found.put(self.host_inode, inode, container, process),
                Err(error) if is_gone(&error) => lost.push(container),
                Err(error) => {
                    found.errors += 1;
                    if !std::mem::replace(&mut self.was_refused, true) {
                        warn!(
                            container = container.name, pid = process.pid(), %error,
                            "cannot look at a container's network namespace (needs CAP_SYS_PTRACE)"
                        );
                    }
                }
            }
        }
        for (container, process) in self.find_stand_ins(&lost) {
            if let Ok(inode) = process.netns_inode() {
                found.put(self.host_inode, inode, &container, process);
            }
        }
    }

    fn process_of(&self, container: &Container) -> Arc<Process> {
        match self.stand_ins.get(&container.process.pid()) {
            Some((exited, stand_in)) if Arc::ptr_eq(exited, &container.process) => {
                Arc::clone(stand_in)
            }
            _ => Arc::clone(&container.process),
        }
    }

    /// Other processes of containers whose own has exited (or is a zombie whose threads live on).
    fn find_stand_ins(&mut self, lost: &[&Arc<Container>]) -> Vec<Member> {
        let mut found = Vec::new();
        let now = Instant::now();
        self.searched.retain(|(process, searched)| {
            process.strong_count() > 0 && now - *searched < SEARCH_RETRY
        });
        let was_searched = |process: &Arc<Process>| {
            let mut searched = self.searched.iter();
            searched.any(|(searched, _)| std::ptr::eq(searched.as_ptr(), Arc::as_ptr(process)))
        };
        let lost: Vec<&Arc<Container>> = lost
            .iter()
            .copied()
            .filter(|container| !was_searched(&container.process))
            .collect();
        if lost.is_empty() {
            return found;
        }
        let containers: Vec<&Container> = lost.iter().map(|container| &***container).collect();
        for (container, process) in lost.iter().zip(replacements(&self.procfs, &containers)) {
            let Some(process) = process.map(Arc::new) else {
                self.searched
                    .push((Arc::downgrade(&container.process), now));
                continue;
            };
            debug!(
                container = container.name,
                pid = process.pid(),
                "read through another process"
            );
            self.stand_ins.insert(
                container.process.pid(),
                (Arc::clone(&container.process), Arc::clone(&process)),
            );
            found.push((Arc::clone(container), process));
        }
        found
    }

    fn namespaces(&mut self, groups: HashMap<u64, Vec<Member>>) -> Vec<Namespace> {
        self.facts.retain(|inode, facts| {
            groups.get(inode).is_some_and(|members| {
                members
                    .iter()
                    .any(|(_, process)| Arc::ptr_eq(process, &facts.witness))
            })
        });
        let mut namespaces: Vec<Namespace> = groups
            .into_iter()
            .map(|(inode, mut members)| {
                sort_by_ownership(&mut members);
                let process = Arc::clone(&members[0].1);
                let members = members
                    .into_iter()
                    .map(|(container, _)| container)
                    .collect();
                Namespace {
                    inode,
                    cookie: None,
                    members,
                    process,
                    link: LinkPair::default(),
                }
            })
            .collect();
        namespaces.sort_by_key(|namespace| namespace.inode);
        self.learn(&namespaces);
        for namespace in &mut namespaces {
            if let Some(facts) = self.facts.get(&namespace.inode) {
                namespace.cookie = facts.cookie;
                namespace.link = facts.link.clone();
            }
        }
        namespaces
    }

    /// Asks the kernel about namespaces that are new, or were without a link to the host.
    fn learn(&mut self, namespaces: &[Namespace]) {
        let now = Instant::now();
        let new: Vec<&Namespace> = namespaces
            .iter()
            .filter(|namespace| !self.facts.contains_key(&namespace.inode))
            .collect();
        if self.cookies && !new.is_empty() {
            let processes: Vec<&Process> =
                new.iter().map(|namespace| &*namespace.process).collect();
            for (namespace, cookie) in new
                .iter()
                .zip(visit::in_each(&processes, |_| visit::own_cookie()))
            {
                let cookie = cookie
                    .inspect_err(|error| debug!(inode = namespace.inode, %error, "no cookie"))
                    .ok();
                self.remember(namespace, cookie, now);
            }
        } else {
            for namespace in &new {
                self.remember(namespace, None, now);
            }
        }
        let asking: Vec<&Namespace> = namespaces
            .iter()
            .filter(|namespace| {
                self.facts.get(&namespace.inode).is_some_and(|facts| {
                    facts.link.host_interface.is_empty()
                        && (facts.link_asked == now || now - facts.link_asked > LINK_RETRY)
                })
            })
            .collect();
        let Some(links) = self.links.as_mut().filter(|_| !asking.is_empty()) else {
            return;
        };
        let processes: Vec<&Process> = asking.iter().map(|namespace| &*namespace.process).collect();
        for (namespace, link) in asking.iter().zip(links.pairs(&processes)) {
            if let Some(facts) = self.facts.get_mut(&namespace.inode) {
                facts.link = link;
                facts.link_asked = now;
            }
        }
    }

    fn remember(&mut self, namespace: &Namespace, cookie: Option<u64>, now: Instant) {
        self.facts.insert(
            namespace.inode,
            Facts {
                witness: Arc::clone(&namespace.process),
                cookie,
                link: LinkPair::default(),
                link_asked: now,
            },
        );
    }
}

/// Containers by namespace, while they are being placed.
#[derive(Default)]
struct Found {
    groups: HashMap<u64, Vec<Member>>,
    host_network: Vec<Arc<Container>>,
    stand_ins: Vec<Member>,
    errors: u64,
}

impl Found {
    fn put(&mut self, host: u64, inode: u64, container: &Arc<Container>, process: Arc<Process>) {
        if !Arc::ptr_eq(&process, &container.process) {
            self.stand_ins
                .push((Arc::clone(container), Arc::clone(&process)));
        }
        if inode == host {
            self.host_network.push(Arc::clone(container));
        } else {
            self.groups
                .entry(inode)
                .or_default()
                .push((Arc::clone(container), process));
        }
    }
}

/// Puts the owner first: a sandbox, else a container that others joined, else the oldest.
fn sort_by_ownership(members: &mut [Member]) {
    let joined: Vec<String> = members
        .iter()
        .filter_map(|(container, _)| container.joins().map(str::to_owned))
        .collect();
    members.sort_by_cached_key(|(container, _)| {
        (
            !container.sandbox,
            !joined.contains(&container.id),
            container.started,
            container.name.clone(),
            container.id.clone(),
        )
    });
}

#[cfg(test)]
mod tests;
