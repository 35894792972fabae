//! What is kept of a container, from its record and its task.

use std::sync::Arc;

use super::messages::{CREATED, Container, Process, STOPPED, Timestamp};
use crate::container::PodRef;
use crate::discovery::container_id::{is_id, short_id};
use crate::discovery::description::Description;
use crate::discovery::grpc::{text, value_of};

/// `None` where it does not run.
pub(super) fn describe(container: &Container, task: &Process) -> Option<Description> {
    if matches!(task.status, CREATED | STOPPED) {
        return None;
    }
    let label = |name| value_of(&container.labels, name).map(text);
    let id = text(&container.id);
    // Where the CRI is not served any more its containers still have the labels of the kubelet.
    let pod = label("io.kubernetes.pod.name").and_then(|name| {
        Some(PodRef {
            namespace: label("io.kubernetes.pod.namespace")?,
            name,
            container: label("io.kubernetes.container.name").unwrap_or_default(),
        })
    });
    let sandbox = pod.is_some() && label("io.cri-containerd.kind").as_deref() == Some("sandbox");
    let own_name = label("nerdctl/name").filter(|name| !name.is_empty());
    let name = own_name.unwrap_or_else(|| {
        // Where a person chose the id it is the name.
        let name = if is_id(&id) { short_id(&id) } else { &id };
        name.to_owned()
    });
    Some(Description {
        id,
        name,
        image: text(&container.image),
        network_mode: network_mode(label("nerdctl/networks")),
        pod,
        pod_labels: Arc::default(),
        sandbox,
        started: container.created_at.as_ref().map_or(0, nanoseconds),
        pid: (task.pid != 0).then_some(task.pid),
    })
}

/// The networks that nerdctl notes, a JSON list: where there is one, it is the mode.
fn network_mode(networks: Option<String>) -> String {
    let networks: Option<Vec<String>> =
        networks.and_then(|networks| serde_json::from_str(&networks).ok());
    match networks.as_deref() {
        Some([network]) => network.clone(),
        _ => String::new(),
    }
}

fn nanoseconds(time: &Timestamp) -> u64 {
    let nanoseconds = time
        .seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(time.nanos.into());
    u64::try_from(nanoseconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::client::{Event, Key};
    use super::super::messages::{AnyMessage, Envelope, TaskExit};
    use super::*;
    use crate::discovery::grpc::Entry;

    const ID: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";

    fn container(id: &str, labels: &[(&str, &str)]) -> Container {
        let labels = labels.iter().map(|&(key, value)| Entry {
            key: key.into(),
            value: value.into(),
        });
        let container = Container {
            id: id.into(),
            labels: labels.collect(),
            image: "docker.io/library/web:1".into(),
            created_at: Some(Timestamp {
                seconds: 2,
                nanos: 5,
            }),
        };
        Container::decode(&*container.encode_to_vec()).unwrap()
    }

    fn described(id: &str, labels: &[(&str, &str)]) -> Description {
        let running = Process { pid: 7, status: 2 };
        describe(&container(id, labels), &running).unwrap()
    }

    #[test]
    fn a_name_is_nerdctls_or_the_id() {
        let found = described(
            ID,
            &[
                ("nerdctl/name", "web"),
                ("nerdctl/networks", r#"["bridge"]"#),
            ],
        );
        assert_eq!((&*found.name, &*found.network_mode), ("web", "bridge"));
        assert_eq!(found.image, "docker.io/library/web:1");
        assert_eq!((found.started, found.pid), (2_000_000_005, Some(7)));
        assert_eq!(described(ID, &[]).name, "0a1b2c3d4e5f");
        assert_eq!(
            described("a-rather-long-name", &[]).name,
            "a-rather-long-name"
        );
        let several = described(ID, &[("nerdctl/networks", r#"["a","b"]"#)]);
        assert_eq!(several.network_mode, "");
        assert_eq!(
            described(ID, &[("nerdctl/networks", "no JSON")]).network_mode,
            ""
        );
    }

    #[test]
    fn a_pods_containers_tell_it_by_their_labels() {
        let pod = [
            ("io.kubernetes.pod.name", "cart-0"),
            ("io.kubernetes.pod.namespace", "shop"),
        ];
        let found = described(
            ID,
            &[&pod[..], &[("io.kubernetes.container.name", "web")]].concat(),
        );
        let named = found.pod.unwrap();
        assert_eq!(
            (&*named.namespace, &*named.name, &*named.container),
            ("shop", "cart-0", "web")
        );
        assert!(!found.sandbox);
        let sandbox = described(
            ID,
            &[&pod[..], &[("io.cri-containerd.kind", "sandbox")]].concat(),
        );
        assert!(sandbox.sandbox && sandbox.pod.unwrap().container.is_empty());
        assert_eq!(described(ID, &pod[..1]).pod, None);
    }

    #[test]
    fn what_does_not_run_is_none() {
        let container = container(ID, &[]);
        let is_some = |status| describe(&container, &Process { pid: 7, status }).is_some();
        // Unknown, created, running, stopped, paused, pausing.
        let found = [0, 1, 2, 3, 4, 5].map(is_some);
        assert_eq!(found, [true, false, true, false, true, true]);
        // No process is told: it is looked for.
        let unknown = Process { pid: 0, status: 0 };
        assert_eq!(describe(&container, &unknown).unwrap().pid, None);
    }

    #[test]
    fn events_tell_what_started_and_ended() {
        let event = |topic: &str, value: Vec<u8>| {
            Event::of(&Envelope {
                namespace: "default".into(),
                topic: topic.into(),
                event: Some(AnyMessage { value }),
            })
        };
        let exit = |id: &str| {
            let (container_id, id) = ("web".into(), id.into());
            event("/tasks/exit", TaskExit { container_id, id }.encode_to_vec())
        };
        let web = Key::parse("default/web").unwrap();
        // A start has the pid where an exit has the id of the process.
        let start = b"\x0a\x03web\x10\x2a".to_vec();
        assert_eq!(
            event("/tasks/start", start.clone()),
            Some(Event::Started(web.clone()))
        );
        assert_eq!(exit("web"), Some(Event::Ended(web.clone())));
        assert_eq!(exit("exec-1"), None);
        assert_eq!(
            event("/containers/delete", b"\x0a\x03web".to_vec()),
            Some(Event::Ended(web))
        );
        assert_eq!(event("/tasks/oom", start), None);
        assert_eq!(event("/tasks/start", b"\x0a\xff".to_vec()), None);
        assert_eq!(event("/tasks/start", b"\x0a\x01/".to_vec()), None);
    }
}
