//! Who a count belongs to, by what the program knows of it: namespace and container id. Sums by
//! container.

use std::collections::HashMap;
use std::sync::Arc;

use monitor_ebpf::SLOTS;

use super::{Counts, HostNamespace};
use crate::container::Container;
use crate::netns::Placement;

/// Who a count belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Container(&'a Arc<Container>),
    Host,
}

/// Finds namespaces and containers by what the program knows of them.
pub(super) struct Places<'a> {
    /// The owner of each namespace, by the number that stands in [`Key::netns`](monitor_ebpf::Key::netns).
    by_key: HashMap<u64, Subject<'a>>,
    /// The same for namespaces whose cookie could not be asked, by inode number.
    by_inode: HashMap<u64, Subject<'a>>,
    by_id: HashMap<&'a str, &'a Arc<Container>>,
}

impl<'a> Places<'a> {
    pub(super) fn new(placement: &'a Placement, host: HostNamespace, has_cookie: bool) -> Self {
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

    pub(super) fn container(&self, id: &str) -> Option<&'a Arc<Container>> {
        self.by_id.get(id).copied()
    }
}

/// Sums by container.
#[derive(Default)]
pub(super) struct Tally<'a> {
    pub(super) containers: HashMap<*const Container, (&'a Arc<Container>, Counts)>,
    pub(super) host: Counts,
}

impl<'a> Tally<'a> {
    pub(super) fn add(&mut self, subject: Option<Subject<'a>>, counted: &Counts) {
        let sum = match subject {
            Some(Subject::Container(container)) => {
                let key = Arc::as_ptr(container);
                &mut self
                    .containers
                    .entry(key)
                    .or_insert((container, [0; SLOTS]))
                    .1
            }
            Some(Subject::Host) => &mut self.host,
            None => return,
        };
        add(sum, counted);
    }
}

/// Adds counts slot by slot.
pub(super) fn add(sum: &mut Counts, counted: &Counts) {
    for (sum, count) in sum.iter_mut().zip(counted) {
        *sum += count;
    }
}
