//! What a collector is made of.

use std::sync::Arc;

use super::{Cadvisor, FileSamplers};
use crate::cgroups::Cgroups;
use crate::discovery::Inventory;
use crate::discovery::scan::ScanMode;
use crate::ebpf::Passes;
use crate::limits::Limits;
use crate::metrics::own::OwnMetrics;
use crate::metrics::{CounterFile, Schema};
use crate::pod_labels::PodLabels;
use crate::procfs::ProcFs;
use crate::sampler::facts::FactReader;
use crate::sampler::tcp_states::TcpStateSampler;
use crate::sampler::transitions::TransitionSampler;

/// What a [`Collector`](super::Collector) is made of.
#[derive(Debug)]
pub struct Parts {
    /// The proc file system.
    pub procfs: Arc<ProcFs>,
    /// All runtimes' containers.
    pub inventory: Arc<Inventory>,
    /// When to scan `/proc` for containers.
    pub scan: ScanMode,
    /// Whether the host's own namespace is reported.
    pub host_network: bool,
    /// Which containers are published.
    pub limits: Limits,
    /// The counter files that are read.
    pub files: Vec<CounterFile>,
    /// Where counters go.
    pub schema: Schema,
    /// Whether transitions are wanted; they may still be not to be had.
    pub wants_transitions: bool,
    /// The attached eBPF program, where there is one.
    pub transitions: Option<TransitionSampler>,
    /// The programs that read the kernel's tables, where there are.
    pub passes: Option<Passes>,
    /// What looks at the sockets.
    pub tcp_states: TcpStateSampler,
    /// What the sockets are compared with.
    pub facts: FactReader,
    /// What asks containers' files.
    pub file_samplers: FileSamplers,
    /// What has cAdvisor's names, where it is wanted.
    pub cadvisor: Option<Cadvisor>,
    /// Whose a cgroup is.
    pub cgroups: Cgroups,
    /// Whether the kernel gives cookies to namespaces.
    pub cookies: bool,
    /// The exporter's own metrics.
    pub own: OwnMetrics,
    /// Which labels of pods are published.
    pub pod_labels: Arc<PodLabels>,
}
