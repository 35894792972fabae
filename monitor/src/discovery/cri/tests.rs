//! Sessions against a server that fails in ways a real runtime cannot be made to: it hangs, talks
//! garbage, cuts its answers short. What a real one does is tested with a real one.

mod failures;
mod server;

use std::sync::Arc;
use std::time::Duration;

use self::server::{Reply, Server};
use super::Endpoint;
use super::messages::{
    CONTAINER_RUNNING, ContainerMetadata, ContainerStatus, ContainerStatusResponse,
    ListContainersResponse, ListPodSandboxResponse, ListedContainer, PodSandbox,
    PodSandboxMetadata, PodSandboxStatus, PodSandboxStatusResponse, VersionResponse,
};
use crate::container::Runtime;
use crate::discovery::SourceState;
use crate::discovery::follow::{Demand, Timing};
use crate::discovery::grpc::Entry;
use crate::discovery::testing::{Child, Followed, TIMING, sleeper, unknown_id};

const VERSION: &str = "/runtime.v1.RuntimeService/Version";
const SANDBOXES: &str = "/runtime.v1.RuntimeService/ListPodSandbox";
const CONTAINERS: &str = "/runtime.v1.RuntimeService/ListContainers";
const SANDBOX_STATUS: &str = "/runtime.v1.RuntimeService/PodSandboxStatus";
const CONTAINER_STATUS: &str = "/runtime.v1.RuntimeService/ContainerStatus";
const EVENTS: &str = "/containerd.services.events.v1.Events/Subscribe";

fn follow(endpoint: Endpoint, demand: Demand) -> Followed {
    Followed::start(endpoint, demand)
}

fn follow_server(server: &Server) -> Followed {
    follow(server.endpoint(), Demand::Required)
}

fn version(name: &str) -> Reply {
    Reply::of(&VersionResponse {
        runtime_name: name.into(),
        runtime_version: "1.0".into(),
    })
}

fn sandboxes(ids: &[&str]) -> Reply {
    let items = ids.iter().map(|id| PodSandbox {
        id: (*id).into(),
        metadata: Some(PodSandboxMetadata {
            name: "cart-0".into(),
            namespace: "shop".into(),
        }),
        ..PodSandbox::default()
    });
    Reply::of(&ListPodSandboxResponse {
        items: items.collect(),
    })
}

/// Containers with these ids and names, all of the sandbox `sandbox`.
fn containers(containers: &[(&str, &str)]) -> Reply {
    let containers = containers.iter().map(|(id, name)| ListedContainer {
        id: (*id).into(),
        pod_sandbox_id: "sandbox".into(),
        metadata: Some(ContainerMetadata {
            name: (*name).into(),
        }),
        image: None,
    });
    Reply::of(&ListContainersResponse {
        containers: containers.collect(),
    })
}

fn info(pid: u32) -> Vec<Entry> {
    vec![Entry {
        key: "info".into(),
        value: format!(r#"{{"pid":{pid}}}"#).into(),
    }]
}

fn sandbox_status(pid: u32) -> Reply {
    Reply::of(&PodSandboxStatusResponse {
        status: Some(PodSandboxStatus::default()),
        info: info(pid),
    })
}

fn container_status(pid: u32) -> Reply {
    Reply::of(&ContainerStatusResponse {
        status: Some(ContainerStatus {
            state: CONTAINER_RUNNING,
            started_at: 1_500_000_000,
            ..ContainerStatus::default()
        }),
        info: info(pid),
    })
}

/// How often the status of a container was asked for.
fn looked_up(server: &Server, id: &str) -> usize {
    server.asked(&format!("{CONTAINER_STATUS} {id}"))
}

/// A runtime with one pod: a sandbox without a process, as CRI-O has it, and a container whose
/// process is a child of ours.
fn one_pod(runtime: &str) -> (Server, String, Child) {
    let server = Server::start();
    let (id, child) = fill(&server, runtime);
    (server, id, child)
}

fn fill(server: &Server, runtime: &str) -> (String, Child) {
    let child = sleeper();
    let id = unknown_id(1);
    server.set(VERSION, version(runtime));
    server.set(SANDBOXES, sandboxes(&["sandbox"]));
    server.set(SANDBOX_STATUS, sandbox_status(0));
    server.set(CONTAINERS, containers(&[(&id, "web")]));
    server.set(CONTAINER_STATUS, container_status(child.pid()));
    server.set(EVENTS, Reply::Events);
    (id, child)
}

#[tokio::test]
async fn a_listed_container_is_described() {
    for (name, runtime) in [
        ("containerd", Runtime::Containerd),
        ("cri-o", Runtime::CriO),
        ("docker", Runtime::Docker),
        ("another", Runtime::Cri),
    ] {
        let (server, id, child) = one_pod(name);
        let followed = follow_server(&server);
        followed.until_state(SourceState::Up).await;
        let container = followed.only();
        assert_eq!(container.id, id);
        assert_eq!(container.name, "shop/cart-0/web");
        assert_eq!(container.joins(), Some("sandbox"));
        assert_eq!(container.runtime, runtime);
        assert_eq!(container.started, 1_500_000_000);
        assert_eq!(container.process.pid(), child.pid());
        assert!(followed.inventory.any_answered());
    }
}

#[tokio::test]
async fn the_older_api_is_asked_where_the_newer_is_not_served() {
    let (server, _id, _child) = one_pod("containerd");
    for method in [
        VERSION,
        SANDBOXES,
        CONTAINERS,
        SANDBOX_STATUS,
        CONTAINER_STATUS,
    ] {
        server.set(&method.replace("v1", "v1alpha2"), server.get(method));
        server.set(method, server::UNIMPLEMENTED);
    }
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    assert_eq!(followed.names(), ["shop/cart-0/web"]);
}

#[tokio::test]
async fn each_is_looked_up_once() {
    let (server, id, _child) = one_pod("cri-o");
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    let before = followed.only();
    followed
        .until("many lists were taken", |_| server.asked(CONTAINERS) > 8)
        .await;
    // Twice, since no cgroup says whose process it is.
    assert_eq!(looked_up(&server, &id), 2);
    // Nor the sandbox, though nothing came of it.
    assert_eq!(server.asked(SANDBOX_STATUS), 1);
    assert!(Arc::ptr_eq(&before, &followed.only()));
    assert_eq!(server.asked(EVENTS), 0);
}

#[tokio::test]
async fn an_event_is_followed_by_a_list() {
    let (server, id, _child) = one_pod("containerd");
    server.set(CONTAINERS, containers(&[]));
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    assert_eq!(followed.names(), [""; 0]);
    server.set(CONTAINERS, containers(&[(&id, "web")]));
    server.emit();
    followed
        .until("it is there", |followed| !followed.names().is_empty())
        .await;
    server.set(CONTAINERS, containers(&[]));
    server.emit();
    followed
        .until("it is gone", |followed| followed.names().is_empty())
        .await;
    assert_eq!(followed.events(), 2);
}

#[tokio::test]
async fn a_runtime_without_events_is_asked_every_so_often() {
    for refusal in [server::UNIMPLEMENTED, Reply::Status(7, "not for you")] {
        let (server, id, _child) = one_pod("containerd");
        server.set(EVENTS, refusal);
        server.set(CONTAINERS, containers(&[]));
        let followed = follow_server(&server);
        followed.until_state(SourceState::Up).await;
        server.set(CONTAINERS, containers(&[(&id, "web")]));
        followed
            .until("it is there", |followed| !followed.names().is_empty())
            .await;
        assert_eq!(followed.state(), SourceState::Up);
    }
}

#[tokio::test]
async fn a_process_that_ended_is_not_listed() {
    let (server, _id, child) = one_pod("containerd");
    // Not reaped yet: its folder in /proc is there, its namespaces are not.
    let _zombie = child.kill();
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    assert_eq!(followed.names(), [""; 0]);
}

#[tokio::test]
async fn ten_thousand_sandboxes() {
    let (server, _id, _child) = one_pod("cri-o");
    let ids: Vec<String> = (100..10_100)
        .map(|number| format!("{number:064x}"))
        .collect();
    let ids: Vec<&str> = ["sandbox"]
        .into_iter()
        .chain(ids.iter().map(String::as_str))
        .collect();
    let Reply::Message(mut list) = sandboxes(&ids) else {
        panic!("a list is a message");
    };
    // 5 MiB in a field that nobody knows: more than gRPC takes by default.
    list.extend([0xfa, 0x07, 0x80, 0x80, 0xc0, 0x02]);
    list.resize(list.len() + (5 << 20), b'x');
    server.set(SANDBOXES, Reply::Message(list));
    let patient = Timing::default();
    let followed = Followed::timed(server.endpoint(), Demand::Required, patient);
    let up = async {
        while followed.state() != SourceState::Up {
            tokio::time::sleep(TIMING.poll).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), up)
        .await
        .unwrap();
    assert_eq!(followed.names(), ["shop/cart-0/web"]);
    assert_eq!(server.asked(SANDBOX_STATUS), ids.len());
}
