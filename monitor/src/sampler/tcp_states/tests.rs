//! Whose sockets are whose, and when the kernel's tables are not believed any more.

use std::collections::BTreeMap;

use monitor_ebpf::{Family, TcpState};

use super::*;
use crate::procfs::ProcFs;
use crate::sampler::facts::FactReader;
use crate::sampler::namespace::Target;
use crate::tcp::listeners::Queue;
use crate::tcp::{Entry, Listener};
use crate::testing::{container, namespace, process};

const HOST: HostNamespace = HostNamespace {
    inode: 1,
    cookie: Some(1001),
};

fn entry(netns: u64, inode: u64, cgroup: u64, established: u64) -> Entry {
    let mut counts = StateCounts::default();
    (0..established).for_each(|_| counts.add(Family::Ipv4, TcpState::Established as u8));
    Entry {
        key: Key { netns, cgroup },
        inode,
        counts,
    }
}

fn listener(netns: u64, cgroup: u64, length: u64) -> Listener {
    Listener {
        key: Key { netns, cgroup },
        inode: netns,
        port: Some(80),
        family: Family::Ipv4,
        length,
        limit: 10,
    }
}

#[test]
fn sockets_are_their_cgroup_s_container_s_else_the_owner_s() {
    // Two containers in namespace 2, and one on the host's network.
    let placement = Placement {
        namespaces: vec![namespace(
            2,
            Some(1002),
            vec![container("aa", "owner"), container("bb", "joined")],
        )],
        host_inode: HOST.inode,
        host_network: vec![container("cc", "agent")],
        ..Placement::default()
    };
    let cgroups = Cgroups::known(&[
        (10, Some("aa")),
        (11, Some("bb")),
        (12, Some("cc")),
        (13, Some("ended")),
        (14, None),
    ]);
    let table = SocketTable {
        entries: vec![
            entry(1002, 2, 10, 1),
            entry(1002, 2, 11, 2),
            // No cgroup, one that is gone, a container's that has ended, and nobody's.
            entry(1002, 2, 0, 10),
            entry(1002, 2, 99, 20),
            entry(1002, 2, 13, 40),
            entry(1002, 2, 14, 80),
            entry(1001, 1, 12, 3),
            entry(1001, 1, 14, 4),
            // Of a namespace without a container; its inode number was the first one's.
            entry(1009, 2, 0, 1000),
        ],
        listeners: vec![
            listener(1002, 11, 1),
            listener(1002, 0, 2),
            listener(1002, 14, 3),
            listener(1001, 14, 4),
        ],
    };
    let places = Places::new(&placement, HOST, true);
    let sample = attribute(&table, &places, &cgroups);
    let total = |sockets: &ContainerSockets| sockets.states.total();
    let queue = |sockets: &ContainerSockets| {
        let queue = sockets.queues.get(&(Some(80), Family::Ipv4));
        queue.copied().unwrap_or_default()
    };
    let by_name: BTreeMap<&str, (u64, Queue)> = sample
        .containers
        .iter()
        .map(|(container, sockets)| (&*container.name, (total(sockets), queue(sockets))))
        .collect();
    let expected = |length, limit| Queue { length, limit };
    let containers = BTreeMap::from([
        ("owner", (151, expected(5, 20))),
        ("joined", (2, expected(1, 10))),
        ("agent", (3, Queue::default())),
    ]);
    assert_eq!(by_name, containers);
    assert_eq!(total(&sample.host), 4);
    assert_eq!(queue(&sample.host), expected(4, 10));
}

/// Shows a sampler a table with sockets that are not there, again and again.
fn deceived(mode: TcpStatesMode) -> TcpStateSampler {
    let (schema, files) = (Schema::new(), CounterFile::ALL);
    let pace = Pace {
        min_interval: Duration::ZERO,
        max_duration: Duration::MAX,
    };
    let mut sampler = TcpStateSampler::new(mode, true, pace, &schema, &files);
    let mut facts = FactReader::new(&schema, &files);
    let process = process();
    let inode = ProcFs::open(std::path::Path::new("/proc"))
        .and_then(|procfs| procfs.netns_inode(process.pid()))
        .unwrap();
    let targets = [NamedTarget {
        target: Target {
            inode,
            process: &process,
        },
        cookie: None,
    }];
    // Other tests speak over this machine's loopback: only a look at a still moment proves it.
    for _ in 0..500 {
        let table = SocketTable {
            entries: vec![entry(inode, inode, 0, 100_000)],
            listeners: Vec::new(),
        };
        let before = facts.read(&process);
        sampler.last = Some(look_of(
            table,
            HashSet::new(),
            Instant::now(),
            Duration::ZERO,
            0,
        ));
        sampler.compare(&targets, &[before]);
        if sampler.source() == TcpStatesSource::SockDiag {
            // Nothing of what was wrong is published.
            assert!(sampler.last().is_none());
            break;
        }
        let mismatch = sampler.last().and_then(|look| look.mismatch).unwrap();
        assert!(mismatch > 100_000, "{mismatch}");
    }
    sampler
}

#[test]
fn tables_that_show_what_is_not_there_are_given_up() {
    let sampler = deceived(TcpStatesMode::Auto);
    assert_eq!(sampler.source(), TcpStatesSource::SockDiag);
}

#[test]
fn tables_that_were_asked_for_by_name_stay() {
    let sampler = deceived(TcpStatesMode::Kernel);
    assert_eq!(sampler.source(), TcpStatesSource::Kernel);
}

#[test]
fn a_namespace_has_all_its_sockets_and_one_that_was_not_looked_at_none() {
    let (owner, member) = (container("id1", "web"), container("id2", "side"));
    let placement = Placement {
        namespaces: vec![
            namespace(2, Some(1002), vec![owner, member]),
            namespace(3, Some(1003), vec![container("", "idle")]),
            namespace(4, Some(1004), vec![container("", "unseen")]),
        ],
        host_inode: HOST.inode,
        ..Placement::default()
    };
    let table = SocketTable {
        entries: vec![
            entry(1002, 2, 0, 1),
            entry(1002, 2, 77, 2),
            entry(1001, 1, 0, 40),
            entry(1009, 9, 0, 500),
        ],
        listeners: Vec::new(),
    };
    let schema = Schema::new();
    let pace = Pace {
        min_interval: Duration::ZERO,
        max_duration: Duration::ZERO,
    };
    let mut sampler = TcpStateSampler::new(
        TcpStatesMode::SockDiag,
        false,
        pace,
        &schema,
        &CounterFile::ALL,
    );
    assert!(sampler.namespaces(&placement, HOST).is_none());
    let counted = HashSet::from([1, 2, 3]);
    sampler.last = Some(look_of(table, counted, Instant::now(), Duration::ZERO, 0));
    let states = sampler.namespaces(&placement, HOST).unwrap();
    let total = |inode| states.of(inode).map(|counts| counts.total());
    let found = [1, 2, 3, 4, 9].map(total);
    assert_eq!(found, [Some(40), Some(3), Some(0), None, None]);
}
