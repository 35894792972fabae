//! Whose name each number stands under.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use monitor_ebpf::{Family, SLOTS, TcpState};
use testkit::metrics::Metrics;

use super::{Samples, Snapshot};
use crate::container::{Container, PodRef};
use crate::metrics::{CounterFile, Counters, HostValues, Schema};
use crate::netns::{Namespace, Placement};
use crate::pod_labels::PodLabels;
use crate::procfs::Number;
use crate::sampler::tcp_states::{ContainerSockets, TcpStateSample};
use crate::sampler::transitions::TransitionSample;
use crate::testing::{container, namespace, plain};

const USED: &str = "container_network_sockets_used";
const INFO: &str = "container_network_info";
const TRANSITIONS: &str = "container_network_tcp_transitions_total";

/// Counters of one number.
fn counters(used: u64) -> Counters {
    let schema = Schema::new();
    let slot = schema
        .slot(CounterFile::Sockstat, "sockets", "used")
        .unwrap();
    let mut counters = schema.counters();
    counters.set(slot, Some(Number::Unsigned(used)));
    counters
}

/// A container of the pod shop/cart-0; the sandbox without a name.
fn in_pod(id: &str, name: &str, started: u64) -> Arc<Container> {
    Arc::new(Container {
        pod: Some(PodRef {
            namespace: "shop".to_owned(),
            name: "cart-0".to_owned(),
            container: name.to_owned(),
        }),
        sandbox: name.is_empty(),
        started,
        ..plain(id, &format!("k8s_{name}"))
    })
}

fn started(id: &str, name: &str, started: u64) -> Arc<Container> {
    Arc::new(Container {
        started,
        ..plain(id, name)
    })
}

/// The whole text of a snapshot.
fn render(snapshot: &Snapshot, text: &mut String) -> u64 {
    snapshot.render_namespaces(&Schema::new(), text)
        + snapshot.render_containers(text)
        + snapshot.render_sockets(text)
}

/// A snapshot in which every namespace has its inode number as its number of sockets, and every
/// container as many connections as the last letter of its id says.
fn merge(placement: &Placement, host_namespace: Option<Counters>) -> (Metrics, Snapshot) {
    let members = placement.namespaces.iter().flat_map(|n| &n.members);
    let count = |container: &Container| {
        let mut counts = [0; SLOTS];
        let digit = container.id.chars().last().and_then(|c| c.to_digit(10));
        counts[0] = u64::from(digit.unwrap_or(0));
        counts
    };
    let mut host = [0; SLOTS];
    host[0] = 77;
    let transitions = TransitionSample {
        containers: members
            .chain(&placement.host_network)
            .map(|container| (container, count(container)))
            .collect(),
        host,
        events: 0,
        unlisted: 0,
        entries: 0,
        map_full: 0,
        missed: None,
    };
    let used = |namespace: &Namespace| Some(counters(namespace.inode));
    let snapshot = Snapshot::merge(Samples {
        placement,
        namespaces: placement.namespaces.iter().map(used).collect(),
        host_namespace,
        transitions: Some(transitions),
        host: HostValues::default(),
        pod_labels: &PodLabels::default(),
    });
    let mut text = String::new();
    let series = render(&snapshot, &mut text);
    let metrics = Metrics::parse(&text).unwrap();
    assert_eq!(series, metrics.samples.len() as u64);
    (metrics, snapshot)
}

fn placement(namespaces: Vec<Namespace>) -> Placement {
    Placement {
        namespaces,
        host_inode: 1,
        ..Placement::default()
    }
}

/// The values of a family by identity, as `namespace/pod/container`.
fn values(metrics: &Metrics, name: &str) -> HashMap<String, u64> {
    let identity = |labels: &testkit::metrics::Labels| {
        ["namespace", "pod", "container"]
            .map(|name| labels[name].clone())
            .join("/")
    };
    let series = metrics.series(name).into_iter();
    series
        .map(|s| (identity(&s.labels), s.value as u64))
        .collect()
}

fn expected<const N: usize>(values: [(&str, u64); N]) -> HashMap<String, u64> {
    values.map(|(name, value)| (name.to_owned(), value)).into()
}

#[test]
fn a_pod_s_namespace_is_the_pod_s_and_its_containers_are_their_own() {
    let members = vec![
        in_pod("id1", "", 1),
        in_pod("id2", "server", 2),
        in_pod("id3", "proxy", 3),
    ];
    let (metrics, snapshot) = merge(&placement(vec![namespace(42, None, members)]), None);
    assert_eq!(values(&metrics, USED), expected([("shop/cart-0/", 42)]));
    let own = expected([
        ("shop/cart-0/", 1),
        ("shop/cart-0/server", 2),
        ("shop/cart-0/proxy", 3),
    ]);
    assert_eq!(values(&metrics, TRANSITIONS), own);
    assert_eq!(metrics.series(INFO).len(), 3);
    assert_eq!(snapshot.dropped, 0);
}

#[test]
fn a_pod_without_a_sandbox_has_its_namespace_all_the_same() {
    let members = vec![in_pod("id2", "server", 2), in_pod("id3", "proxy", 3)];
    let (metrics, _) = merge(&placement(vec![namespace(42, None, members)]), None);
    assert_eq!(values(&metrics, USED), expected([("shop/cart-0/", 42)]));
}

#[test]
fn a_shared_namespace_stands_under_its_owner() {
    let members = vec![container("id1", "web"), container("id2", "log")];
    let (metrics, _) = merge(&placement(vec![namespace(42, None, members)]), None);
    assert_eq!(values(&metrics, USED), expected([("//web", 42)]));
    assert_eq!(
        values(&metrics, TRANSITIONS),
        expected([("//web", 1), ("//log", 2)])
    );
    let netns = [("netns", "42")];
    assert_eq!(metrics.matching(INFO, &netns).len(), 2);
}

#[test]
fn of_two_sandboxes_of_a_pod_the_newest_counts() {
    for (first, second) in [(10, 20), (20, 10)] {
        let namespaces = vec![
            namespace(41, None, vec![in_pod("id1", "", first)]),
            namespace(42, None, vec![in_pod("id2", "", second)]),
        ];
        let newest = if first > second { 41 } else { 42 };
        let (metrics, snapshot) = merge(&placement(namespaces), None);
        assert_eq!(values(&metrics, USED), expected([("shop/cart-0/", newest)]));
        assert_eq!(snapshot.dropped, 1, "one series of the other one");
        // The other series of that name are the same sandbox's; nothing comes twice.
        let info = metrics.one(INFO, &[("container", "")]).unwrap();
        assert_eq!(info.labels["netns"], newest.to_string());
        let transitions = metrics.value(TRANSITIONS, &[("container", "")]).unwrap();
        assert_eq!(transitions as u64, newest - 40);
        assert_eq!(metrics.series(INFO).len(), 2);
    }
}

#[test]
fn of_one_name_the_oldest_keeps_it() {
    let id = |letter: &str, digit| format!("{}{digit}", letter.repeat(63));
    let namespaces = vec![
        namespace(41, None, vec![started(&id("b", 2), "web", 20)]),
        namespace(42, None, vec![started(&id("a", 1), "web", 10)]),
        namespace(43, None, vec![started("", "web", 30)]),
    ];
    let (metrics, snapshot) = merge(&placement(namespaces), None);
    let names = [("//web", 42), ("//web-bbbbbbbbbbbb", 41), ("//web-43", 43)];
    assert_eq!(values(&metrics, USED), expected(names));
    assert_eq!(snapshot.dropped, 0);
}

#[test]
fn a_name_made_unique_is_nobody_else_s() {
    let id = |digit| format!("{}{digit}", "b".repeat(63));
    let namespaces = vec![
        namespace(41, None, vec![started("aaa1", "web-bbbbbbbbbbbb", 1)]),
        namespace(42, None, vec![started("aaa2", "web", 2)]),
        // Ids that begin alike.
        namespace(43, None, vec![started(&id(3), "web", 3)]),
        namespace(44, None, vec![started(&id(4), "web", 4)]),
    ];
    let (metrics, snapshot) = merge(&placement(namespaces), None);
    assert_eq!(values(&metrics, USED).len(), 4);
    assert_eq!(values(&metrics, TRANSITIONS).len(), 4);
    assert_eq!(snapshot.dropped, 0);
}

#[test]
fn the_host_s_name_is_the_host_s() {
    // A process may call itself anything.
    let placement = Placement {
        host_network: vec![container("id5", "agent")],
        ..placement(vec![namespace(42, None, vec![container("", "/")])])
    };
    let (metrics, _) = merge(&placement, None);
    assert_eq!(values(&metrics, USED), expected([("///-42", 42)]));

    let (metrics, _) = merge(&placement, Some(counters(7)));
    assert_eq!(
        values(&metrics, USED),
        expected([("///", 7), ("///-42", 42)])
    );
    // A container in the host's network: what is its own, and no counters.
    let transitions = expected([("///", 77), ("//agent", 5)]);
    assert_eq!(values(&metrics, TRANSITIONS), transitions);
    let info = metrics.one(INFO, &[("container", "agent")]).unwrap();
    assert_eq!(info.labels["network_mode"], "host");
    assert_eq!(info.labels["netns"], "1");
}

#[test]
fn what_could_not_be_read_has_no_series() {
    let placement = placement(vec![namespace(42, None, vec![container("id1", "web")])]);
    let snapshot = Snapshot::merge(Samples {
        placement: &placement,
        namespaces: vec![None],
        host_namespace: None,
        transitions: None,
        host: HostValues::default(),
        pod_labels: &PodLabels::default(),
    });
    let mut text = String::new();
    render(&snapshot, &mut text);
    let metrics = Metrics::parse(&text).unwrap();
    assert_eq!(metrics.samples.len(), 1, "{text}");
    assert_eq!(metrics.samples[0].name, INFO);
}

/// Established sockets of IPv4.
fn established(count: u64) -> ContainerSockets {
    let mut sockets = ContainerSockets::default();
    for _ in 0..count {
        let state = TcpState::Established as u8;
        sockets.states.add(Family::Ipv4, state);
    }
    sockets
}

#[test]
fn every_container_has_all_states_and_a_sandbox_only_what_is_its_own() {
    let (sandbox, server) = (in_pod("id1", "", 1), in_pod("id2", "server", 2));
    let (idle, agent) = (container("id3", "idle"), container("id4", "agent"));
    let placement = Placement {
        namespaces: vec![
            namespace(42, None, vec![Arc::clone(&sandbox), Arc::clone(&server)]),
            namespace(43, None, vec![idle]),
            namespace(44, None, vec![container("id5", "unseen")]),
        ],
        host_inode: 1,
        host_network: vec![Arc::clone(&agent)],
        ..Placement::default()
    };
    let rows = |reports_host| {
        let mut snapshot = Snapshot::merge(Samples {
            placement: &placement,
            namespaces: vec![None, None, None],
            host_namespace: None,
            transitions: None,
            host: HostValues::default(),
            pod_labels: &PodLabels::default(),
        });
        let sample = TcpStateSample {
            containers: vec![
                (&sandbox, established(1)),
                (&server, established(2)),
                (&agent, established(3)),
            ],
            host: established(4),
            // Not the third: of it nothing is known.
            counted: HashSet::from([1, 42, 43]),
        };
        snapshot.add_sockets(&placement, sample, reports_host);
        let mut text = String::new();
        render(&snapshot, &mut text);
        let metrics = Metrics::parse(&text).unwrap();
        let sum = |namespace: &str, container: &str| {
            let labels = [("namespace", namespace), ("container", container)];
            let rows = metrics.matching("container_network_tcp_sockets", &labels);
            (rows.len(), rows.iter().map(|row| row.value).sum::<f64>())
        };
        [
            sum("shop", ""),
            sum("shop", "server"),
            sum("", "idle"),
            sum("", "agent"),
            sum("", "unseen"),
            sum("", "/"),
        ]
    };
    let mut expected = [
        (1, 1.0),
        (10, 2.0),
        (10, 0.0),
        (10, 3.0),
        (0, 0.0),
        (0, 0.0),
    ];
    assert_eq!(rows(false), expected);
    expected[5] = (10, 4.0);
    assert_eq!(rows(true), expected);
}

#[test]
fn who_is_hidden_has_no_series_and_gives_its_own_to_nobody() {
    let sandbox = in_pod("id1", "", 1);
    let (proxy, app) = (in_pod("id2", "proxy", 2), in_pod("id3", "app", 3));
    let (owner, joined) = (started("id4", "web", 4), started("id5", "joined", 5));
    let agent = started("id6", "agent", 6);
    let mut placement = Placement {
        host_network: vec![Arc::clone(&agent)],
        ..placement(vec![
            namespace(41, None, vec![sandbox, Arc::clone(&proxy), app]),
            namespace(42, None, vec![Arc::clone(&owner), joined]),
        ])
    };
    for container in [&proxy, &owner, &agent] {
        placement.hide(container);
    }
    let (metrics, snapshot) = merge(&placement, None);
    assert_eq!(values(&metrics, USED), expected([("shop/cart-0/", 41)]));
    let containers = [("shop/cart-0/", 1), ("shop/cart-0/app", 3), ("//joined", 5)];
    assert_eq!(values(&metrics, TRANSITIONS), expected(containers));
    assert_eq!(metrics.series(INFO).len(), 3);
    // What is left out on purpose is no series lost.
    assert_eq!(snapshot.dropped, 0);
}

#[test]
fn series_are_kept_by_the_age_of_their_containers() {
    let placement = placement(vec![
        namespace(
            41,
            None,
            vec![in_pod("id1", "", 3), in_pod("id2", "app", 4)],
        ),
        namespace(42, None, vec![started("id3", "web", 5)]),
        namespace(43, None, vec![started("id4", "old", 2)]),
    ]);
    let (_, snapshot) = merge(&placement, None);
    let mut text = String::new();
    let total = render(&snapshot, &mut text);
    // The youngest has three.
    let dropped = crate::metrics::shorten::Shown::default().shorten(
        &mut text,
        total - 1,
        &snapshot.ages(&placement, []),
    );
    assert_eq!(dropped, 3);
    let metrics = Metrics::parse(&text).unwrap();
    let left = [("shop/cart-0/", 41), ("//old", 43)];
    assert_eq!(values(&metrics, USED), expected(left));
}

#[test]
fn chosen_labels_of_pods_stand_on_every_info_and_on_nothing_else() {
    let chosen = PodLabels::new(&["app/name".to_owned()], &["team".to_owned()]).unwrap();
    let server = Arc::new(Container {
        pod_labels: Arc::from(["web".to_owned(), "\"pay\"".to_owned()]),
        ..Container::clone(&in_pod("id1", "server", 1))
    });
    let placement = Placement {
        host_network: vec![container("id2", "agent")],
        ..placement(vec![namespace(42, None, vec![server])])
    };
    let snapshot = Snapshot::merge(Samples {
        placement: &placement,
        namespaces: vec![Some(counters(3))],
        host_namespace: None,
        transitions: None,
        host: HostValues::default(),
        pod_labels: &chosen,
    });
    let mut text = String::new();
    render(&snapshot, &mut text);
    let metrics = Metrics::parse(&text).unwrap();
    for (container, label, annotation) in [("server", "web", "\"pay\""), ("agent", "", "")] {
        let info = metrics.one(INFO, &[("container", container)]).unwrap();
        assert_eq!(info.labels["label_app_name"], label);
        assert_eq!(info.labels["annotation_team"], annotation);
    }
    let has_label = |labels: &testkit::metrics::Labels| labels.contains_key("label_app_name");
    let carrying = metrics.samples.iter().filter(|s| has_label(&s.labels));
    assert_eq!(carrying.count(), 2);
}
