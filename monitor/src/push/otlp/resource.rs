//! Whose a series is, in the words of OpenTelemetry's semantic conventions for resources.

use std::collections::HashMap;

use super::messages::KeyValue;
use crate::metrics::Exposition;
use crate::metrics::exposition::Sample;
use crate::metrics::tables::container::INFO;

/// The host's own network namespace, as the `container` label has it.
const HOST: &str = "/";

/// This node.
#[derive(Debug)]
pub(super) struct Node {
    /// Its host name.
    pub(super) host: String,
    /// What Kubernetes calls it.
    pub(super) node: Option<String>,
}

/// Whose a series is; all empty for the host's and the exporter's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Owner {
    namespace: String,
    pod: String,
    container: String,
}

impl Owner {
    /// The labels that say it.
    pub(super) const LABELS: [&str; 3] = ["namespace", "pod", "container"];

    pub(super) fn of(sample: &Sample<'_>) -> Self {
        let [namespace, pod, container] =
            Self::LABELS.map(|label| sample.label(label).into_owned());
        if container == HOST && pod.is_empty() {
            return Self::default();
        }
        Self {
            namespace,
            pod,
            container,
        }
    }
}

/// What discovery knows of a container.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    id: String,
    image: String,
    runtime: String,
}

/// What is known of each container of a collection.
pub(super) fn facts(exposition: &Exposition) -> HashMap<Owner, Facts> {
    let family = exposition.family(INFO.name);
    let samples = family.iter().flat_map(|family| family.samples());
    samples
        .map(|sample| {
            let text = |label| sample.label(label).into_owned();
            let facts = Facts {
                id: text("container_id"),
                image: text("image"),
                runtime: text("runtime"),
            };
            (Owner::of(&sample), facts)
        })
        .collect()
}

/// The attributes of a resource; what is not known is left out.
pub(super) fn attributes(node: &Node, owner: &Owner, facts: Option<&Facts>) -> Vec<KeyValue> {
    let unknown = Facts::default();
    // The host's namespace has a row too, and is no container.
    let facts = facts.filter(|_| !owner.container.is_empty());
    let facts = facts.unwrap_or(&unknown);
    let is_pod = !owner.pod.is_empty();
    let name = if is_pod {
        "k8s.container.name"
    } else {
        "container.name"
    };
    // Containers that no runtime told of have none, which the label calls `none`.
    let runtime = match &*facts.runtime {
        "none" => "",
        runtime => runtime,
    };
    [
        ("service.name", env!("CARGO_PKG_NAME")),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("host.name", &node.host),
        ("k8s.node.name", node.node.as_deref().unwrap_or_default()),
        ("k8s.namespace.name", &owner.namespace),
        ("k8s.pod.name", &owner.pod),
        (name, &owner.container),
        ("container.id", &facts.id),
        ("container.image.name", &facts.image),
        ("container.runtime", runtime),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| KeyValue::new(key, value))
    .collect()
}
