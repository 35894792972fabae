//! A container as its runtime describes it, before its process is opened.

use std::sync::Arc;

use crate::container::{Container, PodRef, Runtime};
use crate::pod_labels::PodLabelValues;
use crate::procfs::Process;

/// What a runtime's answer is reduced to; see [`Container`] for the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) pod: Option<PodRef>,
    pub(super) pod_labels: PodLabelValues,
    pub(super) sandbox: bool,
    pub(super) network_mode: String,
    pub(super) started: u64,
    /// Process id of its first process in the runtime's pid namespace; `None` where the runtime
    /// does not tell.
    pub(super) pid: Option<u32>,
}

impl Description {
    /// The container, with the process that was found for it.
    pub(super) fn into_container(self, runtime: Runtime, process: Process) -> Container {
        Container {
            id: self.id,
            name: self.name,
            image: self.image,
            runtime,
            pod: self.pod,
            pod_labels: self.pod_labels,
            sandbox: self.sandbox,
            network_mode: self.network_mode,
            started: self.started,
            process: Arc::new(process),
        }
    }
}
