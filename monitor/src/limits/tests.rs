//! Who stays.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{LeftOut, Limits, Selector};
use crate::container::{Container, PodRef};
use crate::netns::Placement;
use crate::testing::{namespace, plain};

const SECOND: u64 = 1_000_000_000;

fn plain_container(name: &str, started: u64) -> Arc<Container> {
    Arc::new(Container {
        started: started * SECOND,
        ..plain(name, name)
    })
}

/// A container of a pod; the sandbox without a name.
fn in_pod(pod: &str, name: &str, started: u64) -> Arc<Container> {
    Arc::new(Container {
        pod: Some(PodRef {
            namespace: "shop".to_owned(),
            name: pod.to_owned(),
            container: name.to_owned(),
        }),
        sandbox: name.is_empty(),
        started: started * SECOND,
        ..plain(&format!("{pod}-{name}"), &format!("{pod}-{name}"))
    })
}

fn placement(groups: Vec<Vec<Arc<Container>>>, host_network: Vec<Arc<Container>>) -> Placement {
    let namespaces = groups.into_iter().enumerate();
    Placement {
        namespaces: namespaces
            .map(|(at, members)| namespace(10 + at as u64, None, members))
            .collect(),
        host_inode: 1,
        host_network,
        ..Placement::default()
    }
}

fn selectors(texts: &[&str]) -> Vec<Selector> {
    let texts = texts.iter();
    texts.map(|text| Selector::parse(text).unwrap()).collect()
}

fn shown(placement: &Placement) -> Vec<&str> {
    let containers = placement.containers();
    let shown = containers.filter(|container| placement.shows(container));
    let mut ids: Vec<&str> = shown.map(|container| &*container.id).collect();
    ids.sort_unstable();
    ids
}

fn two_pods() -> Placement {
    placement(
        vec![
            vec![
                in_pod("cart", "", 1),
                in_pod("cart", "app", 2),
                in_pod("cart", "proxy", 3),
            ],
            vec![in_pod("bare", "", 4)],
            vec![plain_container("web", 5)],
        ],
        vec![in_pod("node", "", 6), in_pod("node", "agent", 7)],
    )
}

fn apply(limits: &Limits, placement: &mut Placement) -> LeftOut {
    limits.apply(placement, 100 * SECOND)
}

#[test]
fn without_limits_all_are_shown() {
    let mut placement = two_pods();
    assert_eq!(
        apply(&Limits::default(), &mut placement),
        LeftOut::default()
    );
    assert_eq!(shown(&placement).len(), 7);
}

#[test]
fn a_sandbox_follows_its_pod() {
    for (include, exclude, expected) in [
        (
            &[][..],
            &["container=proxy"][..],
            &["bare-", "cart-", "cart-app", "node-", "node-agent", "web"][..],
        ),
        (&[], &["pod=cart"], &["bare-", "node-", "node-agent", "web"]),
        (
            &["container=~\"app|agent\""],
            &[],
            &["cart-", "cart-app", "node-", "node-agent"],
        ),
        (&["namespace=shop"], &["container=~.+"], &["bare-"]),
        (
            &["pod=cart,container=app", "container=web"],
            &[],
            &["cart-", "cart-app", "web"],
        ),
        (&["container=none"], &[], &[]),
    ] {
        let limits = Limits {
            include: selectors(include),
            exclude: selectors(exclude),
            ..Limits::default()
        };
        let mut placement = two_pods();
        let left_out = apply(&limits, &mut placement);
        assert_eq!(shown(&placement), expected, "{include:?} {exclude:?}");
        // A sandbox beside its pod's containers is none of those that are counted.
        let counted = expected
            .iter()
            .filter(|id| !["cart-", "node-"].contains(id));
        assert_eq!(left_out.excluded, 5 - counted.count() as u64);
    }
}

#[test]
fn the_young_wait_and_the_oldest_stay() {
    let mut placement = two_pods();
    let limits = Limits {
        min_age: Duration::from_secs(96),
        containers: Some(2),
        ..Limits::default()
    };
    let left_out = apply(&limits, &mut placement);
    assert_eq!(shown(&placement), ["cart-", "cart-app", "cart-proxy"]);
    assert_eq!(
        left_out,
        LeftOut {
            excluded: 0,
            too_young: 2,
            limit: 1
        }
    );
    // One that says it began in the future is not old.
    let mut future = self::placement(vec![vec![plain_container("a", 200)]], Vec::new());
    assert_eq!(apply(&limits, &mut future).too_young, 1);
}

#[test]
fn what_belongs_to_a_hidden_owner_is_not_given_to_others() {
    let limits = Limits {
        exclude: selectors(&["container=~\"web|first\""]),
        ..Limits::default()
    };
    let groups = vec![
        vec![plain_container("web", 1), plain_container("joined", 2)],
        vec![plain_container("alone", 1)],
        // Without a sandbox the oldest stands for the pod.
        vec![in_pod("cart", "first", 1), in_pod("cart", "second", 2)],
    ];
    let mut placement = placement(groups, Vec::new());
    apply(&limits, &mut placement);
    let namespaces = &placement.namespaces;
    let of = |f: &dyn Fn(&crate::netns::Namespace) -> bool| -> Vec<bool> {
        namespaces.iter().map(f).collect()
    };
    assert_eq!(of(&|one| placement.shows_any(one)), [true, true, true]);
    assert_eq!(
        of(&|one| placement.shows_namespace(one)),
        [false, true, true]
    );
    assert_eq!(namespaces[0].owner().id, "web");
}

proptest! {
    /// Containers come and go; who is shown once is shown until it ends.
    #[test]
    fn the_same_ones_stay(
        limit in 1usize..5,
        min_age in 0u64..5,
        steps in proptest::collection::vec((any::<bool>(), 0usize..8), 1..30),
    ) {
        let limits = Limits {
            min_age: Duration::from_secs(min_age),
            containers: Some(limit),
            ..Limits::default()
        };
        let mut alive: Vec<Arc<Container>> = Vec::new();
        let mut before: Vec<String> = Vec::new();
        for (now, (starts, which)) in (1u64..).zip(steps) {
            if starts {
                alive.push(plain_container(&format!("c{now}"), now));
            } else if !alive.is_empty() {
                alive.remove(which % alive.len());
            }
            // The order in which they are found says nothing.
            let turn = which % alive.len().max(1);
            alive.rotate_left(turn);
            let groups = alive.iter().map(|one| vec![Arc::clone(one)]).collect();
            let mut placement = placement(groups, Vec::new());
            let left_out = limits.apply(&mut placement, now * SECOND);
            let shown: Vec<String> = shown(&placement).into_iter().map(str::to_owned).collect();
            prop_assert!(shown.len() <= limit);
            prop_assert_eq!(
                alive.len() as u64,
                shown.len() as u64 + left_out.limit + left_out.too_young
            );
            for id in before.iter().filter(|id| alive.iter().any(|one| one.id == **id)) {
                prop_assert!(shown.contains(id), "{id} gave way");
            }
            before = shown;
        }
    }
}
