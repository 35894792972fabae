//! What one collection found, put together: whose name each number stands under.
//!
//! [`Snapshot::merge`] is pure. A snapshot is made anew for every collection, so that a container
//! that ended leaves nothing behind.

mod names;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use monitor_ebpf::{PAIRS, TcpState};

use self::names::{Names, host_identity};
use crate::container::Container;
use crate::disk::DiskSample;
use crate::filesystem::FilesystemSample;
use crate::layer::LayerSample;
use crate::limits::age_order;
use crate::metrics::{
    self, Ages, Counters, DiskRow, HostValues, Identity, Labels, LayerRow, MountsRow, NamespaceRow,
    Schema,
};
use crate::netns::{Namespace, Placement};
use crate::pod_labels::PodLabels;
use crate::sampler::tcp_states::{ContainerSockets, TcpStateSample};
use crate::sampler::transitions::{Counts, TransitionSample};

/// All samples of one collection.
#[derive(Debug)]
pub struct Samples<'a> {
    /// Where the containers stand.
    pub placement: &'a Placement,
    /// The counters of each of the placement's namespaces, in its order.
    pub namespaces: Vec<Option<Counters>>,
    /// The counters of the host's own namespace, where they were asked for.
    pub host_namespace: Option<Counters>,
    /// Transitions, where they are counted.
    pub transitions: Option<TransitionSample<'a>>,
    /// The host's values.
    pub host: HostValues,
    /// Which labels of pods stand on the info.
    pub pod_labels: &'a PodLabels,
}

/// Named numbers, ready to be written.
#[derive(Debug, Default)]
pub struct Snapshot {
    namespaces: Vec<(Labels, Counters)>,
    transitions: Vec<(Labels, Counts)>,
    sockets: Vec<NamedSockets>,
    mounts: Vec<MountsRow>,
    disks: Vec<DiskRow>,
    layers: Vec<LayerRow>,
    info: Vec<Labels>,
    host: HostValues,
    names: Names,
    /// Series left out because another namespace stands under the same name.
    pub dropped: u64,
}

/// Sockets of one container.
#[derive(Debug)]
struct NamedSockets {
    labels: Labels,
    sockets: ContainerSockets,
    zeros: bool,
}

impl Snapshot {
    /// Names everything in `samples`.
    pub fn merge(samples: Samples<'_>) -> Self {
        let names = Names::new(samples.placement);
        let mut snapshot = Self {
            host: samples.host,
            ..Self::default()
        };
        snapshot.take_namespaces(samples.placement, samples.namespaces, &names);
        snapshot.take_info(samples.placement, samples.pod_labels, &names);
        let host_transitions = samples.transitions.as_ref().map(|sample| sample.host);
        if let Some(sample) = samples.transitions {
            snapshot.take_transitions(samples.placement, sample, &names);
        }
        if let Some(counters) = samples.host_namespace {
            let labels = host_identity().labels();
            snapshot
                .transitions
                .extend(host_transitions.map(|counts| (labels.clone(), counts)));
            snapshot.namespaces.push((labels, counters));
        }
        snapshot.names = names;
        snapshot
    }

    /// Writes the families of namespaces in the text format, and returns the number of series.
    pub fn render_namespaces(&self, schema: &Schema, out: &mut String) -> u64 {
        let rows: Vec<NamespaceRow<'_>> = self
            .namespaces
            .iter()
            .map(|(labels, counters)| NamespaceRow { labels, counters })
            .collect();
        metrics::render_namespaces(schema, &rows, out)
    }

    /// Writes the families of containers but for their sockets, and of the host, likewise.
    pub fn render_containers(&self, out: &mut String) -> u64 {
        let transitions: Vec<metrics::TransitionRow<'_>> = self
            .transitions
            .iter()
            .flat_map(|(labels, counts)| {
                // Only what happened; the slot behind the listed pairs is no pair.
                PAIRS
                    .iter()
                    .zip(counts)
                    .filter(|(_, count)| **count > 0)
                    .map(move |(&(old, new), &count)| metrics::TransitionRow {
                        labels,
                        old_state: TcpState::as_str(old),
                        new_state: TcpState::as_str(new),
                        count,
                    })
            })
            .collect();
        let collection = metrics::Collection {
            transitions: &transitions,
            info: &self.info,
            host: self.host,
            ..metrics::Collection::default()
        };
        metrics::render_containers(&collection, out)
    }

    /// Writes the families of containers' sockets, likewise: they are the last to be there.
    pub fn render_sockets(&self, out: &mut String) -> u64 {
        let sockets: Vec<metrics::SocketsRow<'_>> = self
            .sockets
            .iter()
            .map(|named| metrics::SocketsRow {
                labels: &named.labels,
                sockets: &named.sockets,
                zeros: named.zeros,
            })
            .collect();
        let collection = metrics::Collection {
            sockets: &sockets,
            ..metrics::Collection::default()
        };
        metrics::render_containers(&collection, out)
    }

    /// Writes the families of containers' files, likewise.
    pub fn render_files(&self, out: &mut String) -> u64 {
        let collection = metrics::Collection {
            mounts: &self.mounts,
            layers: &self.layers,
            disks: &self.disks,
            ..metrics::Collection::default()
        };
        metrics::render_containers(&collection, out)
    }

    fn take_namespaces(
        &mut self,
        placement: &Placement,
        counters: Vec<Option<Counters>>,
        names: &Names,
    ) {
        let mut named = BTreeMap::new();
        let mut found: Vec<(&Namespace, Counters)> = placement
            .namespaces
            .iter()
            .zip(counters)
            .filter(|(namespace, _)| placement.shows_namespace(namespace))
            .filter_map(|(namespace, counters)| Some((namespace, counters?)))
            .collect();
        // A pod's sandbox that is being replaced may still be there: the newest one is the pod's.
        found.sort_by_key(|(namespace, _)| std::cmp::Reverse(namespace.owner().started));
        for (namespace, counters) in found {
            match named.entry(names.namespace_identity(namespace.owner())) {
                Entry::Vacant(place) => {
                    place.insert(counters);
                }
                Entry::Occupied(_) => self.dropped += counters.count(),
            }
        }
        let labelled = named
            .into_iter()
            .map(|(identity, counters)| (identity.labels(), counters));
        self.namespaces.extend(labelled);
    }

    fn take_info(&mut self, placement: &Placement, pod_labels: &PodLabels, names: &Names) {
        let with_pod_labels = |info: Labels, container: &Container| {
            pod_labels
                .named(&container.pod_labels)
                .fold(info, |info, (name, value)| info.with(name, value))
        };
        for namespace in &placement.namespaces {
            let members = namespace.members.iter();
            for container in members.filter(|member| placement.shows(member)) {
                let link = &namespace.link;
                let info = info(container, names)
                    .with("netns", &namespace.inode.to_string())
                    .with("network_mode", &container.network_mode)
                    .with("interface", &link.interface)
                    .with("host_interface", &link.host_interface);
                self.info.push(with_pod_labels(info, container));
            }
        }
        let host_network = placement.host_network.iter();
        for container in host_network.filter(|container| placement.shows(container)) {
            let info = info(container, names)
                .with("netns", &placement.host_inode.to_string())
                .with("network_mode", "host")
                .with("interface", "")
                .with("host_interface", "");
            self.info.push(with_pod_labels(info, container));
        }
    }

    fn take_transitions(
        &mut self,
        placement: &Placement,
        sample: TransitionSample<'_>,
        names: &Names,
    ) {
        let containers = sample.containers.into_iter();
        let named: BTreeMap<Identity, Counts> = containers
            .filter(|(container, _)| placement.shows(container))
            .map(|(container, counts)| (names.identity(container), counts))
            .collect();
        let labelled = named
            .into_iter()
            .map(|(identity, counts)| (identity.labels(), counts));
        self.transitions.extend(labelled);
    }

    /// Adds the sockets of all containers; `reports_host` says whether the host's were asked for.
    ///
    /// Every container has its states, 0 where it has no socket in one; but for a pod's sandbox,
    /// which is no workload and has only what is told of no container of its pod, and for
    /// containers in namespaces that were not looked at.
    pub fn add_sockets(
        &mut self,
        placement: &Placement,
        sample: TcpStateSample<'_>,
        reports_host: bool,
    ) {
        let names = &self.names;
        let mut seen: HashMap<*const Container, ContainerSockets> = sample
            .containers
            .into_iter()
            .map(|(container, sockets)| (Arc::as_ptr(container), sockets))
            .collect();
        let counted = &sample.counted;
        let namespaces = placement.namespaces.iter();
        let members = namespaces.flat_map(|namespace| {
            let members = namespace.members.iter();
            members.map(|member| (member, counted.contains(&namespace.inode)))
        });
        let host_is_known = counted.contains(&placement.host_inode);
        let on_host = placement.host_network.iter();
        let mut named: Vec<(Identity, ContainerSockets, bool)> = members
            .chain(on_host.map(|container| (container, host_is_known)))
            .filter(|(container, _)| placement.shows(container))
            .map(|(container, is_known)| {
                let sockets = seen.remove(&Arc::as_ptr(container)).unwrap_or_default();
                let zeros = is_known && !container.sandbox;
                (names.identity(container), sockets, zeros)
            })
            .collect();
        named.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
        let labelled = named
            .into_iter()
            .map(|(identity, sockets, zeros)| NamedSockets {
                labels: identity.labels(),
                sockets,
                zeros,
            });
        self.sockets.extend(labelled);
        self.sockets.extend(reports_host.then(|| NamedSockets {
            labels: host_identity().labels(),
            sockets: sample.host,
            zeros: host_is_known,
        }));
    }
}

impl Snapshot {
    /// Adds the file systems of all containers.
    pub fn add_filesystems(&mut self, sample: FilesystemSample<'_>) {
        self.mounts = self.names.labelled(sample.containers);
    }

    /// Adds the writable layers of all containers.
    pub fn add_layers(&mut self, sample: LayerSample<'_>) {
        self.layers = self.names.labelled(sample.containers);
    }

    /// Adds what all containers read and wrote.
    pub fn add_disks(&mut self, sample: DiskSample<'_>) {
        self.disks = self.names.labelled(sample.containers);
    }
}

impl Snapshot {
    /// Whose series are kept where there are too many: those of the oldest containers, and with
    /// its owner what belongs to a namespace; `others` are labels that stand for a container too.
    pub fn ages<'a>(
        &self,
        placement: &Placement,
        others: impl IntoIterator<Item = (&'a Arc<Container>, &'a Labels)>,
    ) -> Ages {
        let mut containers: Vec<&Arc<Container>> = placement.containers().collect();
        containers.sort_by(|one, other| age_order(one).cmp(&age_order(other)));
        let mut ages = Ages::default();
        let mut places = HashMap::new();
        for (place, container) in containers.into_iter().enumerate() {
            ages.add(&self.names.identity(container).labels(), place);
            places.insert(Arc::as_ptr(container), place);
        }
        for owner in placement.namespaces.iter().map(Namespace::owner) {
            if let Some(place) = places.get(&Arc::as_ptr(owner)) {
                ages.add(&self.names.namespace_identity(owner).labels(), *place);
            }
        }
        for (container, labels) in others {
            if let Some(place) = places.get(&Arc::as_ptr(container)) {
                ages.add(labels, *place);
            }
        }
        ages
    }
}

/// The identity part and the container's own part of `container_network_info`.
fn info(container: &Arc<Container>, names: &Names) -> Labels {
    names
        .identity(container)
        .labels()
        .with("container_id", &container.id)
        .with("image", &container.image)
        .with("runtime", container.runtime.as_str())
}

#[cfg(test)]
mod tests;
