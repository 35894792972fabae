//! Who owns a namespace.

use std::sync::Arc;

use super::{Member, sort_by_ownership};
use crate::container::Container;
use crate::testing::{plain, process};

fn member(id: &str, started: u64, change: impl FnOnce(&mut Container)) -> Member {
    let mut container = plain(id, id);
    container.started = started;
    change(&mut container);
    (Arc::new(container), process())
}

/// The members' ids, the owner's first, whatever order they come in.
fn order(members: &[Member]) -> Vec<String> {
    let mut forwards = members.to_vec();
    let mut backwards: Vec<Member> = members.iter().rev().cloned().collect();
    sort_by_ownership(&mut forwards);
    sort_by_ownership(&mut backwards);
    let ids = |members: &[Member]| -> Vec<String> {
        members
            .iter()
            .map(|(container, _)| container.id.clone())
            .collect()
    };
    assert_eq!(ids(&forwards), ids(&backwards));
    ids(&forwards)
}

fn joins(id: &str) -> impl FnOnce(&mut Container) {
    let mode = format!("container:{id}");
    move |container| container.network_mode = mode
}

#[test]
fn a_sandbox_comes_before_all() {
    let members = [
        member("old", 1, joins("sandbox")),
        member("joined", 2, |_| {}),
        member("sandbox", 3, |container| container.sandbox = true),
        member("other", 4, joins("joined")),
    ];
    assert_eq!(order(&members), ["sandbox", "joined", "old", "other"]);
}

#[test]
fn who_was_joined_comes_before_who_is_older() {
    // It was restarted since the others joined it.
    let members = [
        member("helper", 1, joins("web")),
        member("web", 9, |_| {}),
        member("log", 5, joins("web")),
    ];
    assert_eq!(order(&members), ["web", "helper", "log"]);
}

#[test]
fn else_the_oldest_comes_first() {
    // Whom they joined is gone.
    let members = [
        member("b", 7, joins("gone")),
        member("z", 3, joins("gone")),
        member("c", 7, |_| {}),
    ];
    assert_eq!(order(&members), ["z", "b", "c"]);
}
