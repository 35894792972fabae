//! What a pod and a container are made of.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use super::cri::messages::PodSandboxConfig;

/// What a pod is made of: `PodSpec { host_network: true, ..PodSpec::new("shop", "web-0") }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSpec {
    /// The Kubernetes namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's uid.
    pub uid: String,
    /// How often its sandbox was made before.
    pub attempt: u32,
    /// Labels, beside those that a kubelet adds (`io.kubernetes.pod.name` and so on).
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether it has the machine's network namespace instead of one of its own.
    pub host_network: bool,
}

impl PodSpec {
    /// A pod with a network of its own, without labels, with a uid that no other one has.
    pub fn new(namespace: &str, name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: format!("{:08x}-0000-4000-8000-{next:012x}", std::process::id()),
            attempt: 0,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            host_network: false,
        }
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The labels that a kubelet puts on everything of a pod.
    pub(super) fn kubelet_labels(&self) -> BTreeMap<String, String> {
        [
            ("io.kubernetes.pod.name", &self.name),
            ("io.kubernetes.pod.namespace", &self.namespace),
            ("io.kubernetes.pod.uid", &self.uid),
        ]
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .into()
    }
}

/// A pod that was started; it lives until it is removed or its containerd is dropped.
#[derive(Clone, Debug)]
pub struct Pod {
    pub(super) id: String,
    pub(super) spec: PodSpec,
    /// What the sandbox was made of, which every container of it is made with.
    pub(super) config: PodSandboxConfig,
}

impl Pod {
    /// The sandbox's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it was made of.
    pub fn spec(&self) -> &PodSpec {
        &self.spec
    }
}

/// What a container of a pod is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSpec {
    /// The container's name in its pod.
    pub name: String,
    /// How often a container of this name was made in this pod before.
    pub attempt: u32,
    /// The arguments of the `workload` program; none let it sleep.
    pub args: Vec<String>,
    /// Labels, beside those that a kubelet adds.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl ContainerSpec {
    /// A container that runs `workload` with `args`.
    pub fn new(name: &str, args: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            attempt: 0,
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// The one that a kubelet makes after this one has ended.
    #[must_use]
    pub fn again(&self) -> Self {
        let attempt = self.attempt + 1;
        Self {
            attempt,
            ..self.clone()
        }
    }
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub(super) id: String,
    pub(super) spec: ContainerSpec,
}

impl Container {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it was made of.
    pub fn spec(&self) -> &ContainerSpec {
        &self.spec
    }
}
