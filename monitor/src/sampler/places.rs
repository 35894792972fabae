//! Whom a count belongs to, by what the kernel knows of it: namespace and cgroup. Sums by
//! container.

use std::collections::HashMap;
use std::sync::Arc;

use monitor_ebpf::Key;

use crate::cgroups::Cgroups;
use crate::container::Container;
use crate::netns::Placement;

/// The host's namespace, as the kernel names it.
#[derive(Clone, Copy, Debug)]
pub struct HostNamespace {
    /// Inode number.
    pub inode: u64,
    /// Cookie, where the kernel has one.
    pub cookie: Option<u64>,
}

/// Whom a count belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Container(&'a Arc<Container>),
    Host,
}

/// Finds namespaces and containers by what the kernel knows of them.
#[derive(Debug)]
pub struct Places<'a> {
    /// The owner of each namespace, by the number that stands in [`Key::netns`](monitor_ebpf::Key::netns).
    by_key: HashMap<u64, Subject<'a>>,
    /// The same for namespaces whose cookie could not be asked, by inode number.
    by_inode: HashMap<u64, Subject<'a>>,
    by_id: HashMap<&'a str, &'a Arc<Container>>,
}

impl<'a> Places<'a> {
    /// The places of a placement. `has_cookie` says whether the kernel's keys are cookies; else
    /// they are inode numbers.
    pub fn new(placement: &'a Placement, host: HostNamespace, has_cookie: bool) -> Self {
        let mut places = Self {
            by_key: HashMap::new(),
            by_inode: HashMap::new(),
            by_id: HashMap::new(),
        };
        places.put(host.inode, host.cookie, has_cookie, Subject::Host);
        for namespace in &placement.namespaces {
            let owner = Subject::Container(namespace.owner());
            places.put(namespace.inode, namespace.cookie, has_cookie, owner);
            places.by_id.extend(
                namespace
                    .members
                    .iter()
                    .map(|member| (member.id.as_str(), member)),
            );
        }
        let host_network = &placement.host_network;
        places.by_id.extend(
            host_network
                .iter()
                .map(|member| (member.id.as_str(), member)),
        );
        // Containers without an id are found by their namespace alone.
        places.by_id.remove("");
        places
    }

    fn put(&mut self, inode: u64, cookie: Option<u64>, has_cookie: bool, owner: Subject<'a>) {
        match (has_cookie, cookie) {
            (true, Some(cookie)) => self.by_key.insert(cookie, owner),
            (true, None) => self.by_inode.insert(inode, owner),
            (false, _) => self.by_key.insert(inode, owner),
        };
    }

    pub(super) fn namespace(&self, key: u64, inode: u64) -> Option<Subject<'a>> {
        self.by_key
            .get(&key)
            .or_else(|| self.by_inode.get(&inode))
            .copied()
    }

    /// Whose a socket is: its cgroup's container's, else the owner's of its namespace.
    pub(super) fn subject(&self, key: Key, inode: u64, cgroups: &Cgroups) -> Option<Subject<'a>> {
        let id = cgroups.container(key.cgroup);
        id.and_then(|id| self.container(id))
            .map(Subject::Container)
            .or_else(|| self.namespace(key.netns, inode))
    }

    pub(super) fn container(&self, id: &str) -> Option<&'a Arc<Container>> {
        self.by_id.get(id).copied()
    }
}

/// Sums by container.
#[derive(Debug)]
pub(super) struct Tally<'a, T> {
    pub(super) containers: HashMap<*const Container, (&'a Arc<Container>, T)>,
    pub(super) host: T,
}

impl<'a, T: Default> Tally<'a, T> {
    pub(super) fn new() -> Self {
        Self {
            containers: HashMap::new(),
            host: T::default(),
        }
    }

    /// The sum of a subject.
    pub(super) fn of(&mut self, subject: Subject<'a>) -> &mut T {
        match subject {
            Subject::Container(container) => {
                let sums = self.containers.entry(Arc::as_ptr(container));
                &mut sums.or_insert_with(|| (container, T::default())).1
            }
            Subject::Host => &mut self.host,
        }
    }
}
