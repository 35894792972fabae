//! A runtime that hangs, breaks off, talks nonsense, is not there yet or goes away.

use super::*;
use crate::discovery::testing::follower;

#[tokio::test]
async fn what_hangs_is_down_and_what_was_known_stays() {
    for (path, hang) in [
        ("/version", Reply::Hang),
        ("/version", Reply::Stall),
        ("/containers/json", Reply::Hang),
        ("/containers/json", Reply::Stall),
        ("/events", Reply::Hang),
    ] {
        let (server, _id, _child) = one_container();
        let healthy = server.get(path);
        server.set(path, hang.clone());
        let followed = follow_server(&server);
        followed.until_state(SourceState::Down).await;
        assert!(followed.inventory.is_settled());
        assert_eq!(
            followed.inventory.any_answered(),
            path == "/events",
            "{path}"
        );
        server.set(path, healthy.clone());
        followed.until_state(SourceState::Up).await;
        // Now that it is known: the session's end is noticed at the next list, or at once.
        server.set(path, hang);
        server.close_streams();
        followed.until_state(SourceState::Down).await;
        assert_eq!(followed.names(), ["web"], "{path}");
    }
}

#[tokio::test]
async fn a_list_that_hangs_is_noticed_while_the_stream_stays_open() {
    let (server, _id, _child) = one_container();
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    server.set("/containers/json", Reply::Hang);
    followed.until_state(SourceState::Down).await;
    assert_eq!(followed.names(), ["web"]);
}

#[tokio::test]
async fn garbage_and_cut_answers_are_down() {
    let (_, id, _) = one_container();
    let whole = list(&[(&id, "web")]).body();
    for (path, reply) in [
        ("/version", Reply::Raw("SSH-2.0-OpenSSH\r\n".into())),
        ("/version", Reply::json("[1, 2")),
        ("/containers/json", Reply::json("<html>")),
        ("/containers/json", Reply::Status(500)),
        (
            "/containers/json",
            Reply::Cut(whole[..whole.len() / 2].into()),
        ),
        (
            "/containers/json",
            Reply::json(r#"[{"Id":"x","State":"levitating"}]"#),
        ),
        ("/events", Reply::Status(403)),
        (
            "/events",
            Reply::ShortStream(r#"{"Type":"container","Action":"st"#.into()),
        ),
        ("/events", Reply::Stream("no json\n".into())),
    ] {
        let (server, _id, _child) = one_container();
        let healthy = server.get(path);
        server.set(path, reply.clone());
        let followed = follow_server(&server);
        followed
            .until(&format!("{path} {reply:?} is down"), |followed| {
                followed.state() == SourceState::Down
            })
            .await;
        server.set(path, healthy);
        followed.until_state(SourceState::Up).await;
        assert_eq!(followed.names(), ["web"], "{path} {reply:?}");
    }
}

#[tokio::test]
async fn an_ended_stream_is_down_and_up_again() {
    let (server, _id, _child) = one_container();
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    server.set("/version", Reply::Status(500));
    server.close_streams();
    followed.until_state(SourceState::Down).await;
    server.set("/version", server::version());
    followed.until_state(SourceState::Up).await;
}

#[tokio::test]
async fn one_container_that_cannot_be_described_does_not_hold_up_the_others() {
    let (server, id, _child) = one_container();
    let hung = unknown_id(2);
    server.set("/containers/json", list(&[(&hung, "hung"), (&id, "web")]));
    server.set(&format!("/containers/{hung}/json"), Reply::Hang);
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    assert_eq!(followed.names(), ["web"]);
}

#[tokio::test]
async fn a_runtime_that_describes_nothing_is_down() {
    let (server, id, _child) = one_container();
    server.set(&format!("/containers/{id}/json"), Reply::Hang);
    let followed = follow_server(&server);
    followed.until_state(SourceState::Down).await;
}

#[tokio::test]
async fn a_socket_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later.sock");
    let endpoint = Endpoint::Unix(path.clone());
    let wanted = follow(endpoint.clone(), Demand::Required);
    let looked_for = follow(endpoint, Demand::IfPresent);
    wanted.until_state(SourceState::Down).await;
    looked_for.until_state(SourceState::Absent).await;
    assert!(!looked_for.inventory.any_answered());

    let server = Server::start_at(&path);
    wanted.until_state(SourceState::Up).await;
    looked_for.until_state(SourceState::Up).await;
    // From now on its absence is a failure.
    std::fs::remove_file(&path).unwrap();
    server.close_streams();
    looked_for.until_state(SourceState::Down).await;
}

#[tokio::test]
async fn shutdown_ends_it() {
    let server = Server::start();
    let inventory = Inventory::new();
    let source = inventory.add_source("docker");
    let settled = {
        let inventory = Arc::clone(&inventory);
        async move { inventory.settled().await }
    };
    let run = follower(server.endpoint(), Demand::Required, TIMING, source).until(settled);
    tokio::time::timeout(Duration::from_secs(5), run)
        .await
        .unwrap();
}
