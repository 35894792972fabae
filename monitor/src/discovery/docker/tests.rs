//! Sessions against a server that fails in ways a real runtime cannot be made to: it hangs, talks
//! garbage, cuts its answers short. What a real one does is tested with a real one, in
//! `tests/docker/`.

mod failures;
mod server;

use std::sync::Arc;
use std::time::Duration;

use self::server::{Reply, Server, inspect, list};
use super::Endpoint;
use crate::container::Runtime;
use crate::discovery::follow::Demand;
use crate::discovery::testing::{Child, Followed, TIMING, sleeper, unknown_id};
use crate::discovery::{Inventory, SourceState};

fn follow(endpoint: Endpoint, demand: Demand) -> Followed {
    Followed::start(endpoint, demand)
}

fn follow_server(server: &Server) -> Followed {
    follow(server.endpoint(), Demand::Required)
}

/// A server with one container, whose process is a child of ours.
fn one_container() -> (Server, String, Child) {
    let child = sleeper();
    let id = unknown_id(1);
    let server = Server::start();
    server.set("/containers/json", list(&[(&id, "web")]));
    server.set(
        &format!("/containers/{id}/json"),
        inspect(&id, "web", child.pid(), "bridge"),
    );
    (server, id, child)
}

#[tokio::test]
async fn a_listed_container_is_described() {
    let (server, id, child) = one_container();
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    let container = followed.only();
    assert_eq!(container.id, id);
    assert_eq!(container.name, "web");
    assert_eq!(container.image, "image:1");
    assert_eq!(container.runtime, Runtime::Docker);
    assert_eq!(container.started, 1_500_000_000);
    assert_eq!(container.process.pid(), child.pid());
    assert!(followed.inventory.any_answered());
    // The list is always asked for by state.
    let asked = server.asked();
    let query = asked
        .iter()
        .find(|path| path.starts_with("/containers/json"))
        .unwrap();
    assert!(
        query.contains("running") && query.contains("paused"),
        "{query}"
    );
}

#[tokio::test]
async fn podman_tells_who_it_is() {
    let (server, _id, _child) = one_container();
    server.set(
        "/version",
        Reply::json(
            r#"{"Version":"4.3.1","Components":[{"Name":"Podman Engine","Version":"4.3.1"}]}"#,
        ),
    );
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    assert_eq!(followed.only().runtime, Runtime::Podman);
}

#[tokio::test]
async fn a_known_container_is_not_asked_for_again() {
    let (server, id, _child) = one_container();
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    let before = followed.only();
    let lists = |path: &String| path.starts_with("/containers/json");
    followed
        .until("three lists were taken", |_| {
            server.asked().iter().filter(|path| lists(path)).count() >= 3
        })
        .await;
    let inspections = server
        .asked()
        .iter()
        .filter(|path| path.contains(&id))
        .count();
    // Twice, since no cgroup says whose process it is.
    assert_eq!(inspections, 2);
    assert!(Arc::ptr_eq(&before, &followed.only()));
    // A new name on the list is noticed, although no event told.
    server.set("/containers/json", list(&[(&id, "new")]));
    server.set(
        &format!("/containers/{id}/json"),
        inspect(&id, "new", before.process.pid(), "bridge"),
    );
    followed
        .until("it is renamed", |followed| followed.names() == ["new"])
        .await;
}

#[tokio::test]
async fn events_add_and_remove() {
    let (server, id, child) = one_container();
    server.set("/containers/json", list(&[]));
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    assert_eq!(followed.names(), [""; 0]);

    server.emit("create", &id);
    server.emit("exec_start: sh", &id);
    server.emit("start", &id);
    server.set("/containers/json", list(&[(&id, "web")]));
    followed
        .until("it is there", |followed| followed.names() == ["web"])
        .await;
    assert_eq!(followed.events(), 1);

    server.set("/containers/json", list(&[]));
    server.set(
        &format!("/containers/{id}/json"),
        inspect(&id, "web", 0, "bridge"),
    );
    server.emit("die", &id);
    followed
        .until("it is gone", |followed| followed.names().is_empty())
        .await;
    assert_eq!(followed.events(), 2);
    drop(child);
}

#[tokio::test]
async fn a_container_that_only_left_the_list_is_asked_for() {
    let (server, id, _child) = one_container();
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    // Podman, while it stops one.
    server.set("/containers/json", list(&[]));
    let asked = server.asked().len();
    followed
        .until("it was asked for", |_| {
            server.asked()[asked..]
                .iter()
                .filter(|path| path.contains(&id))
                .count()
                > 4
        })
        .await;
    assert_eq!(followed.names(), ["web"]);
    server.set(&format!("/containers/{id}/json"), Reply::Status(404));
    followed
        .until("it is gone", |followed| followed.names().is_empty())
        .await;
    assert_eq!(followed.state(), SourceState::Up);
}

#[tokio::test]
async fn a_process_that_ended_is_not_listed() {
    let (server, _id, child) = one_container();
    // Not reaped yet: its folder in /proc is there, its namespaces are not.
    let _zombie = child.kill();
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    assert_eq!(followed.names(), [""; 0]);
}

#[tokio::test]
async fn a_joined_network_is_named_by_its_full_id() {
    let (server, id, child) = one_container();
    let owner = unknown_id(2);
    server.set(
        &format!("/containers/{id}/json"),
        inspect(&id, "web", child.pid(), "container:db"),
    );
    server.set("/containers/db/json", inspect(&owner, "db", 0, "bridge"));
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    assert_eq!(followed.only().joins(), Some(owner.as_str()));
}
