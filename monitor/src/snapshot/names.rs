//! Whose name each number stands under.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::container::Container;
use crate::discovery::container_id::short_id;
use crate::metrics::{Identity, Labels};
use crate::netns::Placement;

/// The `container` label of the host itself.
const HOST: &str = "/";

/// The identity of every container, no two the same, and none the host's: of containers with one
/// name, the oldest keeps it, in a pod the newest, and the others get a part of their id, or their
/// namespace's inode number, behind it.
#[derive(Debug, Default)]
pub(super) struct Names {
    identities: HashMap<*const Container, Identity>,
}

impl Names {
    pub(super) fn new(placement: &Placement) -> Self {
        let members = placement.namespaces.iter().flat_map(|namespace| {
            namespace
                .members
                .iter()
                .map(|container| (namespace.inode, container))
        });
        let host = placement
            .host_network
            .iter()
            .map(|container| (0, container));
        let mut containers: Vec<(u64, &Arc<Container>)> = members.chain(host).collect();
        containers.sort_by_cached_key(|(_, container)| {
            // Of two sandboxes of a pod the newest is the pod's, as with its counters.
            let age = match container.pod {
                Some(_) => u64::MAX - container.started,
                None => container.started,
            };
            (age, container.id.clone())
        });
        // A process may call itself as the host is called here.
        let mut taken = HashSet::from([host_identity()]);
        let mut identities = HashMap::new();
        for (inode, container) in containers {
            let mut identity = plain_identity(container);
            while !taken.insert(identity.clone()) {
                let inode = inode.to_string();
                let more = match container.id.as_str() {
                    "" => &inode,
                    id => short_id(id),
                };
                identity.container = format!("{}-{more}", identity.container);
            }
            identities.insert(Arc::as_ptr(container), identity);
        }
        Self { identities }
    }

    /// The identity of container-scoped series.
    pub(super) fn identity(&self, container: &Arc<Container>) -> Identity {
        let known = self.identities.get(&Arc::as_ptr(container));
        known.cloned().unwrap_or_else(|| plain_identity(container))
    }

    /// What was found of containers, under their labels and in the order of their names.
    pub(super) fn labelled<T>(&self, found: Vec<(&Arc<Container>, T)>) -> Vec<(Labels, T)> {
        let named = found.into_iter();
        let mut named: Vec<(Identity, T)> = named
            .map(|(container, value)| (self.identity(container), value))
            .collect();
        named.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let labelled = named.into_iter();
        labelled
            .map(|(identity, value)| (identity.labels(), value))
            .collect()
    }

    /// The identity of series that belong to a network namespace: in Kubernetes the pod's.
    pub(super) fn namespace_identity(&self, owner: &Arc<Container>) -> Identity {
        let mut identity = self.identity(owner);
        if owner.pod.is_some() {
            identity.container = String::new();
        }
        identity
    }
}

/// The identity of the host itself.
pub(super) fn host_identity() -> Identity {
    Identity {
        container: HOST.to_owned(),
        ..Identity::default()
    }
}

/// The identity that a container would have alone.
fn plain_identity(container: &Container) -> Identity {
    match &container.pod {
        Some(pod) => Identity {
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            container: if container.sandbox {
                String::new()
            } else {
                pod.container.clone()
            },
        },
        None => Identity {
            container: container.name.clone(),
            ..Identity::default()
        },
    }
}
