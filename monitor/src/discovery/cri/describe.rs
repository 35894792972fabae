//! What is kept of a sandbox and of a container, from their line on the list and their verbose
//! status.

use std::sync::Arc;

use serde::Deserialize;

use super::messages::{
    CONTAINER_RUNNING, CONTAINER_UNKNOWN, ContainerStatus, ContainerStatusResponse,
    ListedContainer, NAMESPACE_NODE, NAMESPACE_POD, PodSandbox, PodSandboxMetadata,
    PodSandboxStatus, PodSandboxStatusResponse,
};
use crate::container::PodRef;
use crate::discovery::container_id::is_id;
use crate::discovery::description::Description;
use crate::discovery::grpc::{Entry, text, value_of};

/// A sandbox; `None` where it has no process: CRI-O starts none for most pods.
pub(super) fn sandbox(
    listed: &PodSandbox,
    answer: PodSandboxStatusResponse,
) -> Option<Description> {
    let info = Info::of(&answer.info);
    let status = answer.status?;
    let pod = pod(listed.metadata.as_ref().or(status.metadata.as_ref()), "");
    Some(Description {
        id: text(&listed.id),
        name: pod.as_ref().map(name).unwrap_or_default(),
        image: info.image.unwrap_or_default(),
        network_mode: network_mode(&status).to_owned(),
        pod,
        pod_labels: Arc::default(),
        sandbox: true,
        started: nanoseconds(status.created_at),
        pid: positive(info.pid)?,
    })
}

/// A container; `None` where it does not run. `sandbox` names its pod, where the list has it.
pub(super) fn container(
    listed: &ListedContainer,
    sandbox: Option<&PodSandboxMetadata>,
    answer: ContainerStatusResponse,
) -> Option<Description> {
    let info = Info::of(&answer.info);
    let status = answer.status?;
    let pid = match status.state {
        CONTAINER_RUNNING => positive(info.pid)?,
        // What lives of it is looked for: the runtime does not know.
        CONTAINER_UNKNOWN => None,
        _ => return None,
    };
    let own_name = listed
        .metadata
        .as_ref()
        .map(|metadata| text(&metadata.name));
    let own_name = own_name.unwrap_or_default();
    let pod = pod(sandbox, &own_name).or_else(|| pod_of_labels(&status.labels, &own_name));
    let started = match status.started_at {
        0 => status.created_at,
        started => started,
    };
    Some(Description {
        id: text(&listed.id),
        name: pod.as_ref().map_or(own_name, name),
        image: image(listed, &status),
        network_mode: match text(&listed.pod_sandbox_id) {
            id if id.is_empty() => id,
            id => format!("container:{id}"),
        },
        pod,
        pod_labels: Arc::default(),
        sandbox: false,
        started: nanoseconds(started),
        pid,
    })
}

/// What is wanted of the information that a verbose status has: a JSON object.
#[derive(Debug, Default, Deserialize)]
struct Info {
    pid: Option<i64>,
    image: Option<String>,
}

impl Info {
    /// containerd and CRI-O have it under `info`; where it is missing or something else, nothing is
    /// known.
    fn of(info: &[Entry]) -> Self {
        value_of(info, "info")
            .and_then(|text| serde_json::from_slice(text).ok())
            .unwrap_or_default()
    }
}

/// The pid that is known, if one is; `None` when it is known that there is no process.
fn positive(pid: Option<i64>) -> Option<Option<u32>> {
    match pid {
        None => Some(None),
        Some(pid) => u32::try_from(pid).ok().filter(|&pid| pid != 0).map(Some),
    }
}

fn pod(sandbox: Option<&PodSandboxMetadata>, container: &str) -> Option<PodRef> {
    let sandbox = sandbox.filter(|sandbox| !sandbox.name.is_empty())?;
    Some(PodRef {
        namespace: text(&sandbox.namespace),
        name: text(&sandbox.name),
        container: container.to_owned(),
    })
}

/// The pod that the labels of the kubelet name.
fn pod_of_labels(labels: &[Entry], container: &str) -> Option<PodRef> {
    let label = |name| value_of(labels, name).map(text);
    Some(PodRef {
        namespace: label("io.kubernetes.pod.namespace")?,
        name: label("io.kubernetes.pod.name")?,
        container: container.to_owned(),
    })
}

/// `namespace/pod/container`, as it stands in the log; a sandbox is `namespace/pod`.
fn name(pod: &PodRef) -> String {
    let mut name = format!("{}/{}", pod.namespace, pod.name);
    if !pod.container.is_empty() {
        name = format!("{name}/{}", pod.container);
    }
    name
}

/// As Docker calls the host's; `pod` for a pod's own.
fn network_mode(status: &PodSandboxStatus) -> &'static str {
    let namespaces = status
        .linux
        .as_ref()
        .and_then(|linux| linux.namespaces.as_ref());
    let mode = namespaces
        .and_then(|namespaces| namespaces.options.as_ref())
        .map(|options| options.network);
    match mode {
        Some(NAMESPACE_NODE) => "host",
        Some(NAMESPACE_POD) => "pod",
        _ => "",
    }
}

/// The reference that the user gave, as far as the runtime kept it. The kubelet gives the image's
/// id to the runtime, which answers with a tag where it knows one: an id comes last.
fn image(listed: &ListedContainer, status: &ContainerStatus) -> String {
    let specs = [listed.image.as_ref(), status.image.as_ref()];
    let given = specs.map(|spec| spec.map(|spec| text(&spec.user_specified_image)));
    let [listed, resolved] = specs.map(|spec| spec.map(|spec| text(&spec.image)));
    let mut references: Vec<String> = given
        .into_iter()
        .chain([resolved, Some(text(&status.image_ref)), listed])
        .flatten()
        .filter(|reference| !reference.is_empty())
        .collect();
    references.sort_by_key(|reference| is_image_id(reference));
    references.into_iter().next().unwrap_or_default()
}

fn is_image_id(reference: &str) -> bool {
    is_id(reference.strip_prefix("sha256:").unwrap_or(reference))
}

fn nanoseconds(time: i64) -> u64 {
    u64::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests;
