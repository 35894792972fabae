//! The sockets of whole network namespaces, as `/proc/<pid>/net/tcp` and `tcp6` have them.

use std::collections::HashMap;
use std::sync::Arc;

use super::TcpStateSampler;
use crate::container::Container;
use crate::netns::Placement;
use crate::sampler::places::{HostNamespace, Places, Tally};
use crate::tcp::StateCounts;

/// Sockets by namespace.
#[derive(Debug)]
pub struct NamespaceStates {
    /// By inode number.
    states: HashMap<u64, StateCounts>,
}

impl NamespaceStates {
    /// The sockets of the namespace with this inode number; `None` where it was not looked at.
    pub fn of(&self, inode: u64) -> Option<StateCounts> {
        self.states.get(&inode).copied()
    }
}

impl TcpStateSampler {
    /// The sockets of the last look by namespace, whichever container's they are.
    pub fn namespaces(
        &self,
        placement: &Placement,
        host: HostNamespace,
    ) -> Option<NamespaceStates> {
        let look = self.last.as_ref()?;
        let places = Places::new(placement, host, look.has_cookie);
        let mut tally: Tally<'_, StateCounts> = Tally::new();
        for entry in &look.table.entries {
            if let Some(owner) = places.namespace(entry.key.netns, entry.inode) {
                *tally.of(owner) += &entry.counts;
            }
        }
        let of = |owner: &Arc<Container>| tally.containers.get(&Arc::as_ptr(owner));
        let namespaces = placement.namespaces.iter();
        let found = namespaces.map(|namespace| {
            let counts = of(namespace.owner()).map(|(_, counts)| *counts);
            (namespace.inode, counts.unwrap_or_default())
        });
        let mut states: HashMap<u64, StateCounts> =
            found.chain([(host.inode, tally.host)]).collect();
        states.retain(|inode, _| look.counted.contains(inode));
        Some(NamespaceStates { states })
    }
}
