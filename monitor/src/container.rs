//! What a container is, whoever found it. How containers are found stands in
//! [`discovery`](crate::discovery).

use std::sync::Arc;

use crate::pod_labels::PodLabelValues;
use crate::procfs::Process;

/// The runtime that started a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// Docker Engine.
    Docker,
    /// Podman, found over its Docker-compatible socket or by its cgroup names.
    Podman,
    /// containerd, through CRI or alone.
    Containerd,
    /// CRI-O.
    CriO,
    /// Another runtime, found over the CRI.
    Cri,
    /// No runtime is known: a network namespace with processes in it.
    None,
}

impl Runtime {
    /// The value of the `runtime` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Cri => "cri",
            Self::None => "none",
        }
    }
}

/// The Kubernetes identity of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodRef {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Pod name.
    pub name: String,
    /// Container name within the pod; empty for the sandbox.
    pub container: String,
}

/// One running container.
#[derive(Clone, Debug)]
pub struct Container {
    /// Full id as the runtime gives it; empty where there is none.
    pub id: String,
    /// Name as a user knows it: the runtime's name without a leading slash, else a short id, the
    /// name under `/run/netns` or a command name.
    pub name: String,
    /// Image reference; empty when not known.
    pub image: String,
    /// Who runs it.
    pub runtime: Runtime,
    /// Pod identity, where the container belongs to one.
    pub pod: Option<PodRef>,
    /// Values of the chosen labels and annotations of its pod.
    pub pod_labels: PodLabelValues,
    /// Whether this is a pod's sandbox (pause container): it owns the pod's network namespace and
    /// is no workload of its own.
    pub sandbox: bool,
    /// The runtime's word for the network mode (`bridge`, `host`, `container:…`, a network's
    /// name); empty when not known.
    pub network_mode: String,
    /// Start time in nanoseconds since the Unix epoch; that of its oldest process where no runtime
    /// described it.
    pub started: u64,
    /// The process whose `/proc` entry stands for the container.
    pub process: Arc<Process>,
}

impl Container {
    /// The id of the container whose network this one joined (`container:<id>`).
    pub fn joins(&self) -> Option<&str> {
        self.network_mode.strip_prefix("container:")
    }
}
