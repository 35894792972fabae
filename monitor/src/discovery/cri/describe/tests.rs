//! Lines and answers as containerd and CRI-O give them, by way of the wire.

use prost::Message;

use super::super::messages::{
    ContainerMetadata, ImageSpec, LinuxPodSandboxStatus, NamespaceOption, Namespaces,
};
use super::*;

const ID: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";

/// What comes of a message that was sent.
fn sent<M: Message + Default>(message: &M) -> M {
    M::decode(&*message.encode_to_vec()).unwrap()
}

fn metadata() -> PodSandboxMetadata {
    PodSandboxMetadata {
        name: "cart-0".into(),
        namespace: "shop".into(),
    }
}

fn listed_sandbox() -> PodSandbox {
    sent(&PodSandbox {
        id: "sandbox".into(),
        metadata: Some(metadata()),
        ..PodSandbox::default()
    })
}

fn listed() -> ListedContainer {
    sent(&ListedContainer {
        id: "app".into(),
        pod_sandbox_id: "sandbox".into(),
        metadata: Some(ContainerMetadata { name: "web".into() }),
        image: Some(spec(&format!("sha256:{ID}"), "")),
    })
}

fn spec(image: &str, user_specified_image: &str) -> ImageSpec {
    ImageSpec {
        image: image.into(),
        user_specified_image: user_specified_image.into(),
    }
}

fn entry(key: &str, value: &str) -> Entry {
    Entry {
        key: key.into(),
        value: value.into(),
    }
}

fn info(json: &str) -> Vec<Entry> {
    vec![entry("other", "[]"), entry("info", json)]
}

fn sandbox_answer(json: &str, network: i32) -> PodSandboxStatusResponse {
    let options = Some(NamespaceOption { network });
    let namespaces = Some(Namespaces { options });
    sent(&PodSandboxStatusResponse {
        status: Some(PodSandboxStatus {
            metadata: Some(metadata()),
            created_at: 1_500_000_000,
            linux: Some(LinuxPodSandboxStatus { namespaces }),
        }),
        info: info(json),
    })
}

fn answer(json: &str) -> ContainerStatusResponse {
    sent(&ContainerStatusResponse {
        status: Some(ContainerStatus {
            state: CONTAINER_RUNNING,
            created_at: 1_000_000_000,
            started_at: 2_000_000_000,
            image: Some(spec("docker.io/library/nginx:1.27", "")),
            image_ref: format!("docker.io/library/nginx@sha256:{ID}").into(),
            labels: vec![
                entry("io.kubernetes.pod.namespace", "labelled"),
                entry("io.kubernetes.pod.name", "pod"),
            ],
        }),
        info: info(json),
    })
}

/// The beginning of what containerd says.
const CONTAINERD: &str = r#"{"sandboxID":"sandbox","pid":42,"removing":false,"snapshotter":"overlayfs",
    "config":{"metadata":{"name":"web"},"image":{"image":"sha256:0"}},"runtimeSpec":{"linux":{}}}"#;

#[test]
fn a_sandbox() {
    let json = r#"{"pid":41,"processStatus":"running","image":"registry.k8s.io/pause:3.9"}"#;
    let expected = Description {
        pod_labels: Arc::default(),
        id: "sandbox".into(),
        name: "shop/cart-0".into(),
        image: "registry.k8s.io/pause:3.9".into(),
        pod: Some(PodRef {
            namespace: "shop".into(),
            name: "cart-0".into(),
            container: String::new(),
        }),
        sandbox: true,
        network_mode: "pod".into(),
        started: 1_500_000_000,
        pid: Some(41),
    };
    let described = sandbox(&listed_sandbox(), sandbox_answer(json, NAMESPACE_POD));
    assert_eq!(described, Some(expected));
    for (network, mode) in [(NAMESPACE_NODE, "host"), (3, "")] {
        let described = sandbox(&listed_sandbox(), sandbox_answer(json, network));
        assert_eq!(described.unwrap().network_mode, mode);
    }
}

#[test]
fn a_container() {
    let expected = Description {
        pod_labels: Arc::default(),
        id: "app".into(),
        name: "shop/cart-0/web".into(),
        image: "docker.io/library/nginx:1.27".into(),
        pod: Some(PodRef {
            namespace: "shop".into(),
            name: "cart-0".into(),
            container: "web".into(),
        }),
        sandbox: false,
        network_mode: "container:sandbox".into(),
        started: 2_000_000_000,
        pid: Some(42),
    };
    let described = container(&listed(), Some(&metadata()), answer(CONTAINERD));
    assert_eq!(described, Some(expected));
}

#[test]
fn without_its_sandbox_s_line_the_labels_name_the_pod() {
    let described = container(&listed(), None, answer(CONTAINERD)).unwrap();
    assert_eq!(described.name, "labelled/pod/web");
    let mut bare = answer(CONTAINERD);
    bare.status.as_mut().unwrap().labels.clear();
    let described = container(&listed(), None, bare).unwrap();
    assert_eq!((described.name.as_str(), described.pod), ("web", None));
}

#[test]
fn what_has_no_process_is_not_there_and_what_is_not_told_is_searched_for() {
    for (json, pid) in [
        (r#"{"pid":0}"#, None),
        (r#"{"pid":-1}"#, None),
        (r#"{"pid":4294967296}"#, None),
        (r#"{"pid":7}"#, Some(Some(7))),
        (r#"{"sandboxID":"x"}"#, Some(None)),
        (r#"{"pid":"7"}"#, Some(None)),
        ("no json", Some(None)),
        ("", Some(None)),
    ] {
        let described = sandbox(&listed_sandbox(), sandbox_answer(json, 0));
        assert_eq!(described.map(|found| found.pid), pid, "{json}");
        let described = container(&listed(), None, answer(json));
        assert_eq!(described.map(|found| found.pid), pid, "{json}");
    }
    let silent = ContainerStatusResponse {
        info: Vec::new(),
        ..answer("")
    };
    assert_eq!(container(&listed(), None, silent).unwrap().pid, None);
    assert_eq!(
        container(&listed(), None, ContainerStatusResponse::default()),
        None
    );
}

#[test]
fn only_a_running_container_counts() {
    for state in [0, 2, 77] {
        let mut ended = answer(CONTAINERD);
        ended.status.as_mut().unwrap().state = state;
        assert_eq!(container(&listed(), None, ended), None, "{state}");
    }
    // The runtime lost track of it: its pid is not believed, its process is looked for.
    let mut unknown = answer(CONTAINERD);
    unknown.status.as_mut().unwrap().state = CONTAINER_UNKNOWN;
    assert_eq!(container(&listed(), None, unknown).unwrap().pid, None);
}

#[test]
fn the_image_is_what_the_user_knows_it_by() {
    let image_of = |listed_image: ImageSpec, image: ImageSpec, image_ref: &str| {
        let mut listed = listed();
        listed.image = Some(listed_image);
        let mut answer = answer(CONTAINERD);
        let status = answer.status.as_mut().unwrap();
        status.image = Some(image);
        status.image_ref = image_ref.into();
        container(&listed, None, answer).unwrap().image
    };
    let id = format!("sha256:{ID}");
    let none = || spec("", "");
    assert_eq!(
        image_of(spec(&id, "web:2"), spec("reg/web:2", ""), &id),
        "web:2"
    );
    assert_eq!(image_of(spec(&id, ""), spec(&id, "web:2"), &id), "web:2");
    assert_eq!(image_of(spec("web:1", ""), spec(&id, ""), &id), "web:1");
    assert_eq!(
        image_of(none(), spec(ID, ""), "reg/web@sha256:1"),
        "reg/web@sha256:1"
    );
    assert_eq!(image_of(none(), spec(&id, ""), &id), id);
    assert_eq!(image_of(none(), none(), ""), "");
}

#[test]
fn odd_bytes_and_unknown_fields_do_no_harm() {
    let odd = PodSandboxMetadata {
        name: b"a\xffb".to_vec(),
        namespace: b"\n\"".to_vec(),
    };
    let mut wire = PodSandbox {
        id: "sandbox".into(),
        metadata: Some(odd),
        ..PodSandbox::default()
    }
    .encode_to_vec();
    // Field 99, of the future, and labels that nobody wants.
    wire.extend([0x9a, 0x06, 1, 0, 0x2a, 4, 0x0a, 2, 0xff, 0xff]);
    let listed = PodSandbox::decode(&*wire).unwrap();
    let pod = sandbox(&listed, sandbox_answer("", 0))
        .unwrap()
        .pod
        .unwrap();
    assert_eq!(
        (pod.name.as_str(), pod.namespace.as_str()),
        ("a\u{fffd}b", "\n\"")
    );
}
