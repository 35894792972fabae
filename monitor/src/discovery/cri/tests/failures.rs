//! A runtime that hangs, breaks off, talks nonsense, is not there yet or goes away.

use std::path::Path;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;

use super::server::UNIMPLEMENTED;
use super::*;
use crate::discovery::socket::Socket;

fn endpoint(path: &Path) -> Endpoint {
    Socket::parse(path.to_str().unwrap()).unwrap().into()
}

#[tokio::test]
async fn what_fails_is_down_and_what_was_known_stays() {
    for (method, reply) in [
        (VERSION, Reply::Hang),
        (VERSION, Reply::Status(14, "server is not initialized yet")),
        (SANDBOXES, Reply::Hang),
        (SANDBOXES, Reply::Reset),
        (CONTAINERS, Reply::Status(2, "")),
        (CONTAINERS, Reply::Cut(vec![0x0a, 0])),
        (CONTAINERS, Reply::Message(b"\x0a\xff\xff".to_vec())),
        (EVENTS, Reply::Reset),
        (EVENTS, Reply::Status(14, "")),
    ] {
        let (server, _id, _child) = one_pod("containerd");
        let healthy = server.get(method);
        server.set(method, reply.clone());
        let followed = follow_server(&server);
        let down = format!("{method} {reply:?} is down");
        let is_down = |followed: &Followed| followed.state() == SourceState::Down;
        followed.until(&down, is_down).await;
        assert!(followed.inventory.is_settled());
        server.set(method, healthy);
        followed.until_state(SourceState::Up).await;
        assert_eq!(followed.names(), ["shop/cart-0/web"], "{method} {reply:?}");
        server.set(method, reply.clone());
        // A session that stands does not ask for these again.
        if method == VERSION || method == EVENTS {
            server.close_streams();
        }
        followed.until(&down, is_down).await;
        assert_eq!(followed.names(), ["shop/cart-0/web"], "{method} {reply:?}");
    }
}

#[tokio::test]
async fn one_container_that_cannot_be_described_does_not_hold_up_the_others() {
    for reply in [Reply::Hang, Reply::Status(2, "no such luck"), Reply::Reset] {
        let (server, id, _child) = one_pod("containerd");
        let odd = unknown_id(2);
        server.set(CONTAINERS, containers(&[(&odd, "odd"), (&id, "web")]));
        server.set(&format!("{CONTAINER_STATUS} {odd}"), reply);
        let followed = follow_server(&server);
        followed.until_state(SourceState::Up).await;
        assert_eq!(followed.names(), ["shop/cart-0/web"]);
    }
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_left_out() {
    let (server, id, _child) = one_pod("containerd");
    let odd = [("", "none"), ("a/b", "path"), ("a b\n", "text")];
    server.set(
        CONTAINERS,
        containers(&[&odd[..], &[(&id, "web")]].concat()),
    );
    let followed = follow_server(&server);
    followed.until_state(SourceState::Up).await;
    assert_eq!(followed.names(), ["shop/cart-0/web"]);
    for (id, _) in odd {
        assert_eq!(looked_up(&server, id), 0, "{id:?}");
    }
}

#[tokio::test]
async fn a_runtime_that_describes_nothing_is_down() {
    let (server, _id, _child) = one_pod("containerd");
    server.set(CONTAINER_STATUS, Reply::Status(2, "no"));
    server.set(SANDBOX_STATUS, Reply::Status(2, "no"));
    let followed = follow_server(&server);
    followed.until_state(SourceState::Down).await;
}

#[tokio::test]
async fn a_containerd_without_the_cri_is_no_runtime() {
    let (server, _id, _child) = one_pod("containerd");
    let version = server.get(VERSION);
    server.set(VERSION, UNIMPLEMENTED);
    for (demand, state) in [
        (Demand::Required, SourceState::Down),
        (Demand::AnyOf, SourceState::Missing),
        (Demand::IfPresent, SourceState::Absent),
    ] {
        server.set(VERSION, UNIMPLEMENTED);
        let followed = follow(server.endpoint(), demand);
        followed.until_state(state).await;
        assert!(!followed.inventory.any_answered());
        server.set(VERSION, version.clone());
        followed.until_state(SourceState::Up).await;
    }
}

#[tokio::test]
async fn a_socket_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later.sock");
    let demands = [
        (Demand::Required, SourceState::Down),
        (Demand::AnyOf, SourceState::Missing),
        (Demand::IfPresent, SourceState::Absent),
    ];
    let followed = demands.map(|(demand, _)| follow(endpoint(&path), demand));
    for (followed, (_, state)) in followed.iter().zip(demands) {
        followed.until_state(state).await;
        let missing = followed.inventory.is_missing("runtime");
        assert_eq!(missing, state == SourceState::Missing);
    }
    let server = Server::start_at(&path);
    let (_id, _child) = fill(&server, "containerd");
    for followed in &followed {
        followed.until_state(SourceState::Up).await;
    }
    // From now on its absence is a failure.
    std::fs::remove_file(&path).unwrap();
    drop(server);
    for followed in &followed {
        followed.until_state(SourceState::Down).await;
        assert_eq!(followed.names(), ["shop/cart-0/web"]);
    }
}

#[tokio::test]
async fn what_is_no_socket_or_speaks_something_else_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let stale = folder.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    for path in [folder.path(), &file, &stale] {
        let followed = follow(endpoint(path), Demand::IfPresent);
        followed.until_state(SourceState::Down).await;
    }
    for words in ["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", ""] {
        let path = folder.path().join(format!("{}.sock", words.len()));
        let listener = UnixListener::bind(&path).unwrap();
        let speaking = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(words.as_bytes()).await;
                // Where nothing is said, nothing ever is.
                held.push(stream);
            }
        });
        let followed = follow(endpoint(&path), Demand::IfPresent);
        followed.until_state(SourceState::Down).await;
        speaking.abort();
    }
}
