//! What is kept of the answer to `inspect`: the runtime's models are large, and are dropped at
//! once.

use std::collections::HashMap;

use bollard::models::ContainerInspectResponse;

use super::time::parse_rfc3339;
use crate::container::PodRef;
use crate::discovery::description::Description;

/// The label with which dockershim and its heirs mark a pod's sandbox.
const TYPE_LABEL: &str = "io.kubernetes.docker.type";

/// Picks what is needed; `None` for a container that has no process or no id.
pub(super) fn describe(answer: ContainerInspectResponse) -> Option<Description> {
    let id = answer.id.filter(|id| !id.is_empty())?;
    let state = answer.state?;
    let pid = u32::try_from(state.pid?).ok().filter(|&pid| pid != 0)?;
    let config = answer.config.unwrap_or_default();
    let name = answer.name.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    let (pod, sandbox) = pod(&labels);
    Some(Description {
        name: name.strip_prefix('/').unwrap_or(&name).to_owned(),
        image: config.image.unwrap_or_default(),
        pod,
        pod_labels: Default::default(),
        sandbox,
        network_mode: answer
            .host_config
            .and_then(|host| host.network_mode)
            .unwrap_or_default(),
        started: state
            .started_at
            .as_deref()
            .and_then(parse_rfc3339)
            .unwrap_or_default(),
        pid: Some(pid),
        id,
    })
}

/// The pod that the labels of the kubelet name, and whether the container is its sandbox.
fn pod(labels: &HashMap<String, String>) -> (Option<PodRef>, bool) {
    let label = |name: &str| labels.get(name).map(String::as_str);
    let container = label("io.kubernetes.container.name").unwrap_or_default();
    let sandbox = label(TYPE_LABEL) == Some("podsandbox") || container == "POD";
    let pod = label("io.kubernetes.pod.namespace")
        .zip(label("io.kubernetes.pod.name"))
        .map(|(namespace, name)| PodRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            container: if sandbox { "" } else { container }.to_owned(),
        });
    (pod, sandbox)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{ContainerConfig, ContainerInspectResponse, ContainerState, HostConfig};

    use super::{describe, pod};
    use crate::container::PodRef;
    use crate::discovery::description::Description;

    fn answer(pid: i64) -> ContainerInspectResponse {
        ContainerInspectResponse {
            id: Some("abc".into()),
            name: Some("/web".into()),
            // The image's id; the name that the user gave stands in the configuration.
            image: Some("sha256:1234".into()),
            state: Some(ContainerState {
                pid: Some(pid),
                started_at: Some("1970-01-01T00:00:01.5Z".into()),
                ..ContainerState::default()
            }),
            config: Some(ContainerConfig {
                image: Some("nginx:1.27".into()),
                ..ContainerConfig::default()
            }),
            host_config: Some(HostConfig {
                network_mode: Some("bridge".into()),
                ..HostConfig::default()
            }),
            ..ContainerInspectResponse::default()
        }
    }

    fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_fields_that_are_kept() {
        assert_eq!(
            describe(answer(42)),
            Some(Description {
                id: "abc".into(),
                name: "web".into(),
                image: "nginx:1.27".into(),
                pod: None,
                pod_labels: Default::default(),
                sandbox: false,
                network_mode: "bridge".into(),
                started: 1_500_000_000,
                pid: Some(42),
            })
        );
    }

    #[test]
    fn without_a_process_there_is_nothing_to_list() {
        assert_eq!(describe(answer(0)), None);
        assert_eq!(describe(answer(-1)), None);
        assert_eq!(describe(ContainerInspectResponse::default()), None);
    }

    #[test]
    fn what_is_missing_stays_empty() {
        let bare = ContainerInspectResponse {
            config: None,
            host_config: None,
            name: None,
            ..answer(42)
        };
        let description = describe(bare).unwrap();
        assert_eq!(description.image, "");
        assert_eq!(description.network_mode, "");
        assert_eq!(description.name, "");
    }

    #[test]
    fn labels_of_the_kubelet_make_a_pod() {
        let common = [
            ("io.kubernetes.pod.namespace", "shop"),
            ("io.kubernetes.pod.name", "cart-0"),
        ];
        let member = labels(&[
            common[0],
            common[1],
            ("io.kubernetes.container.name", "app"),
        ]);
        let expected = |container: &str| {
            Some(PodRef {
                namespace: "shop".into(),
                name: "cart-0".into(),
                container: container.into(),
            })
        };
        assert_eq!(pod(&member), (expected("app"), false));
        let sandbox = labels(&[
            common[0],
            common[1],
            ("io.kubernetes.container.name", "POD"),
        ]);
        assert_eq!(pod(&sandbox), (expected(""), true));
        let sandbox = labels(&[
            common[0],
            common[1],
            ("io.kubernetes.docker.type", "podsandbox"),
        ]);
        assert_eq!(pod(&sandbox), (expected(""), true));
        assert_eq!(pod(&labels(&[common[0]])), (None, false));
        assert_eq!(pod(&labels(&[])), (None, false));
    }
}
