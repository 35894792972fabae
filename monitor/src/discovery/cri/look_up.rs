//! From a line of the list to a [`Container`] with a guard: the one verbose call for each.

use std::sync::Arc;

use super::client::Client;
use super::describe;
use super::messages::{ListedContainer, PodSandbox, PodSandboxMetadata};
use crate::container::{Container, Runtime};
use crate::discovery::description::Description;
use crate::discovery::grpc::id_of;
use crate::discovery::verify::{described, with_living_process};
use crate::pod_labels::PodLabelValues;
use crate::procfs::ProcFs;

/// A line of one of the two lists.
#[derive(Clone, Debug)]
pub(super) enum Listed {
    /// A pod's sandbox. Of its labels only the chosen ones are kept.
    Sandbox(PodSandbox, PodLabelValues),
    /// A container, with what its sandbox's line says of the pod.
    Container(ListedContainer, Pod),
}

/// What a sandbox's line says of its pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Pod {
    pub(super) metadata: Option<PodSandboxMetadata>,
    pub(super) labels: PodLabelValues,
}

impl Listed {
    /// The id; `None` where it is none that could be asked for or looked for.
    pub(super) fn id(&self) -> Option<String> {
        id_of(match self {
            Self::Sandbox(sandbox, _) => &sandbox.id,
            Self::Container(container, _) => &container.id,
        })
    }

    pub(super) fn is_sandbox(&self) -> bool {
        matches!(self, Self::Sandbox(..))
    }
}

/// Asks for a sandbox or container, opens its process and makes sure that it is the container's.
/// `None` when it has none (any more).
pub(super) async fn look_up(
    client: &Client,
    procfs: &Arc<ProcFs>,
    runtime: Runtime,
    listed: &Listed,
) -> anyhow::Result<Option<Container>> {
    let Some((mut description, process)) = described(procfs, || ask(client, listed)).await? else {
        return Ok(None);
    };
    let (Listed::Sandbox(_, labels) | Listed::Container(_, Pod { labels, .. })) = listed;
    description.pod_labels = Arc::clone(labels);
    let container = description.into_container(runtime, process);
    Ok(with_living_process(procfs, container).await)
}

async fn ask(client: &Client, listed: &Listed) -> anyhow::Result<Option<Description>> {
    Ok(match listed {
        Listed::Sandbox(sandbox, _) => client
            .sandbox_status(&sandbox.id)
            .await?
            .and_then(|answer| describe::sandbox(sandbox, answer)),
        Listed::Container(container, pod) => client
            .container_status(&container.id)
            .await?
            .and_then(|answer| describe::container(container, pod.metadata.as_ref(), answer)),
    })
}
