//! Under which labels a namespace stands.

use super::{CadvisorLabels, labels};
use crate::container::{Container, PodRef, Runtime};
use crate::testing::plain;

fn owner(runtime: Runtime, in_pod: bool, sandbox: bool) -> Container {
    let pod = PodRef {
        namespace: "shop".to_owned(),
        name: "web-0".to_owned(),
        container: if sandbox { "" } else { "app" }.to_owned(),
    };
    Container {
        runtime,
        image: "an-image".to_owned(),
        pod: in_pod.then_some(pod),
        sandbox,
        ..plain("0123", "its-name")
    }
}

fn found(owner: &Container) -> (String, String, String) {
    let CadvisorLabels {
        id,
        name,
        image,
        namespace,
        pod,
        container,
    } = labels(Some(owner), "/a/0123".to_owned());
    assert_eq!((&*id, &*image), ("/a/0123", "an-image"));
    assert_eq!(namespace.is_empty(), pod.is_empty());
    (name, pod, container)
}

#[test]
fn labels_are_those_that_the_runtime_leads_a_kubelet_to() {
    let pod = "web-0".to_owned();
    let none = String::new;
    for (runtime, name, container) in [
        (Runtime::Docker, "its-name", "POD"),
        (Runtime::CriO, "0123", "POD"),
        (Runtime::Containerd, "0123", ""),
        (Runtime::Cri, "0123", ""),
    ] {
        let expected = (name.to_owned(), pod.clone(), container.to_owned());
        assert_eq!(found(&owner(runtime, true, true)), expected, "{runtime:?}");
        // Outside of pods no kubelet is asked.
        let expected = (name.to_owned(), none(), none());
        assert_eq!(
            found(&owner(runtime, false, false)),
            expected,
            "{runtime:?}"
        );
    }
}

#[test]
fn the_host_is_the_root_cgroup() {
    let host = labels(None, "/".to_owned());
    assert_eq!(
        host,
        CadvisorLabels {
            id: "/".to_owned(),
            ..CadvisorLabels::default()
        }
    );
}
