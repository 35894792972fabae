//! Tests of the parent module.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;

use super::{Connections, MAX_UNREAD, Phase, Slot};

fn open(connections: &Arc<Connections>) -> Arc<Slot> {
    Arc::new(connections.open())
}

/// Whether a connection has not been given up.
fn is_open(slot: &Slot) -> bool {
    slot.connections.state().open.contains_key(&slot.id)
}

fn phase(slot: &Slot) -> Option<Phase> {
    let state = slot.connections.state();
    state.open.get(&slot.id).map(|entry| entry.phase)
}

/// Has had an answer, all of which was sent.
fn answered(slot: &Arc<Slot>) {
    slot.working();
    drop(slot.writing(Bytes::from_static(b"ok")));
    assert_eq!(phase(slot), Some(Phase::Idle));
}

#[tokio::test]
async fn the_one_of_least_use_makes_room() {
    let connections = Connections::new(4);
    let idle = open(&connections);
    answered(&idle);
    let working = open(&connections);
    working.working();
    let writing = open(&connections);
    writing.working();
    let body = writing.writing(Bytes::from_static(b"long"));
    let silent = open(&connections);
    let all = [&silent, &writing, &idle, &working];
    assert!(all.iter().all(|slot| is_open(slot)));
    // Each new one begins to work, so that it is not the one to go.
    let mut new = Vec::new();
    for gone in 1..=all.len() {
        new.push(open(&connections));
        new.last().unwrap().working();
        let open: Vec<bool> = all.iter().map(|slot| is_open(slot)).collect();
        let expected: Vec<bool> = (0..all.len()).map(|at| at >= gone).collect();
        assert_eq!(open, expected);
    }
    drop(body);
    assert_eq!(phase(&writing), None);
    assert_eq!(connections.state().open.len(), 4);
    drop(new);
    assert!(connections.state().open.is_empty());
}

#[tokio::test]
async fn a_flood_of_silent_ones_closes_none_that_was_answered() {
    let connections = Connections::new(10);
    let honest = open(&connections);
    answered(&honest);
    let flood: Vec<_> = (0..1000).map(|_| open(&connections)).collect();
    assert!(is_open(&honest));
    assert_eq!(flood.iter().filter(|slot| is_open(slot)).count(), 9);
    // The newest have had the least time to ask.
    assert!(flood[991..].iter().all(|slot| is_open(slot)));
}

#[tokio::test]
async fn what_is_given_up_is_stopped() {
    let connections = Connections::new(1);
    let first = connections.open();
    let task = tokio::spawn(std::future::pending::<()>());
    connections.served_by(first.id(), task.abort_handle());
    let second = connections.open();
    assert!(task.await.unwrap_err().is_cancelled());
    // Also when it was given up before its task was known.
    let _third = connections.open();
    let task = tokio::spawn(std::future::pending::<()>());
    connections.served_by(second.id(), task.abort_handle());
    assert!(task.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn each_phase_has_its_time() {
    let connections = Connections::new(10);
    let silent = open(&connections);
    let writing = open(&connections);
    writing.working();
    let _body = writing.writing(Bytes::from_static(b"long"));
    let idle = open(&connections);
    answered(&idle);
    let working = open(&connections);
    working.working();
    let after = |seconds| {
        connections.close_late(Instant::now() + Duration::from_secs(seconds));
        [&silent, &writing, &idle, &working].map(|slot| is_open(slot))
    };
    assert_eq!(after(9), [true, true, true, true]);
    assert_eq!(after(11), [false, true, true, true]);
    assert_eq!(after(31), [false, false, true, true]);
    assert_eq!(after(301), [false, false, false, true]);
    assert_eq!(after(1_000_000), [false, false, false, true]);
}

#[tokio::test]
async fn answers_that_nobody_reads_are_let_go_of() {
    let connections = Connections::new(1000);
    let large = || Bytes::from(vec![0; MAX_UNREAD / 4]);
    let mut readers = Vec::new();
    let write = |body: &Bytes| {
        let slot = open(&connections);
        slot.working();
        let body = slot.writing(body.clone());
        (slot, body)
    };
    // Many with one answer are one answer.
    let shared = large();
    let many: Vec<_> = (0..100).map(|_| write(&shared)).collect();
    assert!(many.iter().all(|(slot, _)| is_open(slot)));
    drop(many);
    for _ in 0..10 {
        readers.push(write(&large()));
    }
    let open: Vec<bool> = readers.iter().map(|(slot, _)| is_open(slot)).collect();
    assert_eq!(open, [[false; 6].as_slice(), &[true; 4]].concat());
}

#[tokio::test]
async fn a_pipelined_request_is_none_while_the_answer_before_it_is_held() {
    let connections = Connections::new(10);
    let slot = open(&connections);
    slot.working();
    let first = slot.writing(Bytes::from_static(b"first"));
    slot.working();
    assert_eq!(phase(&slot), Some(Phase::Writing));
    assert_eq!(connections.state().unread(), 5);
    drop(first);
    assert_eq!(phase(&slot), Some(Phase::Working));
    let second = slot.writing(Bytes::from_static(b"second"));
    slot.working();
    let third = slot.writing(Bytes::from_static(b"third"));
    assert_eq!(connections.state().unread(), 11);
    drop(second);
    assert_eq!(phase(&slot), Some(Phase::Writing));
    drop(third);
    assert_eq!(phase(&slot), Some(Phase::Idle));
    assert_eq!(connections.state().unread(), 0);
}

#[tokio::test]
async fn whoever_asks_on_and_does_not_read_is_late_and_first_to_go() {
    let connections = Connections::new(2);
    let greedy = open(&connections);
    greedy.working();
    let _body = greedy.writing(Bytes::from_static(b"long"));
    greedy.working();
    let working = open(&connections);
    working.working();
    let _new = open(&connections);
    assert!(!is_open(&greedy) && is_open(&working));

    let connections = Connections::new(2);
    let greedy = open(&connections);
    greedy.working();
    let _body = greedy.writing(Bytes::from_static(b"long"));
    greedy.working();
    connections.close_late(Instant::now() + Duration::from_secs(31));
    assert!(!is_open(&greedy));
}
