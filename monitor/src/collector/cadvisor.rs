//! What is published under the names of cAdvisor: once for each network namespace, under its
//! owner, as cAdvisor has it, and for each container what is known of its files.

mod files;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::cgroups::paths::CgroupPaths;
use crate::container::{Container, Runtime};
use crate::metrics::{
    CadvisorFamilies, CadvisorFilesRow, CadvisorLabels, CadvisorRow, CounterFile, Counters, Labels,
    Schema,
};
use crate::netns::{Namespace, Placement};
use crate::procfs::{Number, Process};
use crate::sampler::counters::NamedTarget;
use crate::sampler::tcp_states::NamespaceStates;
use crate::tcp::sock_diag;
use crate::tcp::sock_diag::udp::{self, UdpTable};

/// Name of the collector of what has cAdvisor's names.
pub const CADVISOR: &str = "cadvisor";

/// The container label of a sandbox where a runtime labels it for the kubelet.
const SANDBOX: &str = "POD";

/// Collects what has cAdvisor's names.
#[derive(Debug)]
pub struct Cadvisor {
    families: CadvisorFamilies,
    paths: CgroupPaths,
    /// Where `inuse` of UDP and of UDP6 stand.
    in_use: [Option<usize>; 2],
}

/// What one collection found.
#[derive(Debug, Default)]
pub(super) struct CadvisorSample {
    /// The namespaces, each with its inode number and its owner; the host has none.
    rows: Vec<(u64, Option<Arc<Container>>, CadvisorRow)>,
    /// The labels of each container.
    workloads: HashMap<usize, (Arc<Container>, Labels)>,
    files: Vec<CadvisorFilesRow>,
    /// Namespaces whose UDP sockets could not be counted.
    pub errors: u64,
    /// How long it took.
    pub duration: Duration,
}

impl Cadvisor {
    /// The names that `schema` has the counters for; `init` is a process of the host.
    pub fn new(schema: &Schema, init: Arc<Process>) -> Self {
        Self {
            families: CadvisorFamilies::new(schema),
            paths: CgroupPaths::new(init),
            in_use: [
                schema.slot(CounterFile::Sockstat, "UDP", "inuse"),
                schema.slot(CounterFile::Sockstat6, "UDP6", "inuse"),
            ],
        }
    }

    /// Puts together what is known of namespaces, but for TCP sockets, and asks for their UDP
    /// sockets. `counters` are those of the `targets`: the namespaces that are published, in the
    /// order of `placement`, and behind them the host's where it is reported.
    pub(super) fn sample(
        &mut self,
        placement: &Placement,
        targets: &[NamedTarget<'_>],
        counters: &[Option<Counters>],
    ) -> CadvisorSample {
        let start = Instant::now();
        let mut sample = CadvisorSample::default();
        let udp = self.udp(targets, counters, &mut sample.errors);
        let namespaces: Vec<&Namespace> = placement
            .namespaces
            .iter()
            .filter(|namespace| placement.shows_any(namespace))
            .collect();
        let owners = namespaces
            .iter()
            .map(|namespace| (namespace.owner(), &namespace.process));
        let processes: Vec<(&str, &Arc<Process>)> = owners
            .chain(placement.workloads())
            .map(|(container, process)| (&*container.id, process))
            .collect();
        let mut paths = self.paths.look_up(&processes);
        let of_workloads = paths.split_off(namespaces.len());
        sample.name_workloads(placement, of_workloads);
        let owners = namespaces.iter().map(|namespace| Some(*namespace));
        let owners = owners.zip(paths).chain([(None, "/".to_owned())]);
        let mut taken = HashSet::new();
        for (((owner, path), target), (counters, udp)) in
            owners.zip(targets).zip(counters.iter().zip(udp))
        {
            if owner.is_some_and(|namespace| !placement.shows_namespace(namespace)) {
                continue;
            }
            let container = owner.map(Namespace::owner);
            let inode = target.target.inode;
            let mut labels = labels(container.map(|container| &**container), path);
            // Processes without a runtime may share a cgroup and a name.
            if !taken.insert(labels.clone()) {
                labels.name = format!("{}-{inode}", labels.name);
                taken.insert(labels.clone());
            }
            let row = CadvisorRow {
                labels: labels.labels(),
                counters: counters.clone(),
                tcp: None,
                udp,
            };
            sample.rows.push((inode, container.cloned(), row));
        }
        sample.duration = start.elapsed();
        sample
    }

    /// The UDP sockets of each target; `None` where they cannot be told. Whose `sockstat` says
    /// that there are none is not asked: it costs a visit.
    fn udp(
        &self,
        targets: &[NamedTarget<'_>],
        counters: &[Option<Counters>],
        errors: &mut u64,
    ) -> Vec<Option<UdpTable>> {
        let is_idle = |counters: &Option<Counters>| {
            let counters = counters.as_ref();
            self.in_use.iter().all(|slot| {
                let value = slot.and_then(|slot| counters?.get(slot));
                value == Some(Number::Unsigned(0))
            })
        };
        let mut tables: Vec<Option<UdpTable>> = counters
            .iter()
            .map(|counters| is_idle(counters).then(UdpTable::default))
            .collect();
        let asked: Vec<usize> = (0..targets.len().min(tables.len()))
            .filter(|&at| tables[at].is_none() && counters[at].is_some())
            .collect();
        let visited: Vec<sock_diag::Target<'_>> = asked
            .iter()
            .map(|&at| sock_diag::Target {
                netns: 0,
                inode: targets[at].target.inode,
                process: targets[at].target.process,
            })
            .collect();
        for (at, answer) in asked.into_iter().zip(udp::tables(&visited)) {
            match answer {
                Ok(table) => tables[at] = table,
                Err(error) => {
                    let inode = targets[at].target.inode;
                    debug!(inode, %error, "UDP sockets cannot be counted");
                    *errors += 1;
                }
            }
        }
        tables
    }

    /// Appends the families in the text format, and returns the number of series.
    pub(super) fn render(&self, sample: CadvisorSample, out: &mut String) -> u64 {
        let rows: Vec<CadvisorRow> = sample.rows.into_iter().map(|(.., row)| row).collect();
        self.families.render(&rows, &sample.files, out)
    }
}

impl CadvisorSample {
    /// Adds the TCP sockets.
    pub(super) fn add_tcp(&mut self, states: &NamespaceStates) {
        for (inode, _, row) in &mut self.rows {
            row.tcp = states.of(*inode);
        }
    }

    /// The labels of each container's rows.
    pub(super) fn owners(&self) -> impl Iterator<Item = (&Arc<Container>, &Labels)> {
        let rows = self.rows.iter();
        let owners = rows.filter_map(|(_, owner, row)| Some((owner.as_ref()?, &row.labels)));
        let workloads = self.workloads.values();
        owners.chain(workloads.map(|(container, labels)| (container, labels)))
    }

    /// How many namespaces there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// The labels of what belongs to a whole namespace, as cAdvisor and the kubelet put them on its
/// owner; the host has a path alone.
fn labels(owner: Option<&Container>, path: String) -> CadvisorLabels {
    let Some(owner) = owner else {
        return CadvisorLabels {
            id: path,
            ..CadvisorLabels::default()
        };
    };
    let labels_sandboxes = matches!(owner.runtime, Runtime::Docker | Runtime::CriO);
    let container = match owner.pod {
        Some(_) if labels_sandboxes => SANDBOX,
        // The kubelet knows no name of a sandbox of containerd, and none outside of pods.
        _ => "",
    };
    named(owner, path, container)
}

/// The labels of a container, with this value of `container`.
fn named(owner: &Container, path: String, container: &str) -> CadvisorLabels {
    let pod = owner.pod.clone();
    let name = match owner.runtime {
        Runtime::Containerd | Runtime::CriO | Runtime::Cri => &owner.id,
        Runtime::Docker | Runtime::Podman | Runtime::None => &owner.name,
    };
    let (namespace, pod) = pod.map_or_else(Default::default, |pod| (pod.namespace, pod.name));
    CadvisorLabels {
        id: path,
        name: name.clone(),
        image: owner.image.clone(),
        namespace,
        pod,
        container: container.to_owned(),
    }
}

#[cfg(test)]
mod tests;
