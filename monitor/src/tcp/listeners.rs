//! Accept queues: how many ports of a namespace are told apart.

use std::collections::{BTreeMap, BTreeSet};

use monitor_ebpf::Family;

use super::Listener;

/// Most ports of one network namespace that have series of their own.
pub const MAX_PORTS: usize = 64;

/// Accept queues of one container by port and family; `None` stands for all ports that are not
/// told apart.
pub type Queues = BTreeMap<(Option<u16>, Family), Queue>;

/// An accept queue, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Connections that wait to be accepted.
    pub length: u64,
    /// How many may wait.
    pub limit: u64,
}

/// Takes the ports of a namespace that has too many of them for one: of more than [`MAX_PORTS`]
/// the lowest stay, which are those that people choose, so that the same ones stay from scrape to
/// scrape.
pub fn limit_ports(listeners: &mut [Listener]) {
    let mut ports: BTreeMap<(u64, u64), BTreeSet<u16>> = BTreeMap::new();
    for listener in &*listeners {
        let namespace = (listener.key.netns, listener.inode);
        ports.entry(namespace).or_default().extend(listener.port);
    }
    // The first port that is one too many.
    ports.retain(|_, ports| ports.len() > MAX_PORTS);
    for listener in listeners {
        let namespace = (listener.key.netns, listener.inode);
        let Some(ports) = ports.get(&namespace) else {
            continue;
        };
        let highest = ports.iter().nth(MAX_PORTS - 1);
        listener.port = listener.port.filter(|port| Some(port) <= highest);
    }
}

/// Adds a listener's queue to its container's.
pub fn add(queues: &mut Queues, listener: &Listener) {
    let queue = queues.entry((listener.port, listener.family)).or_default();
    queue.length += listener.length;
    queue.limit += listener.limit;
}

#[cfg(test)]
mod tests {
    use monitor_ebpf::Key;

    use super::*;

    fn listener(netns: u64, cgroup: u64, port: u16) -> Listener {
        Listener {
            key: Key { netns, cgroup },
            inode: netns,
            port: Some(port),
            family: Family::Ipv4,
            length: 1,
            limit: 10,
        }
    }

    #[test]
    fn the_lowest_ports_stay_in_each_namespace() {
        let many = (1..=70).map(|port| listener(1, u64::from(port) % 2, 100 - port));
        let few = (1..=64).map(|port| listener(2, 0, 1000 + port));
        let mut listeners: Vec<Listener> = many.chain(few).collect();
        limit_ports(&mut listeners);
        let (first, second) = listeners.split_at(70);
        assert!(second.iter().all(|listener| listener.port.is_some()));
        let kept: BTreeSet<u16> = first.iter().filter_map(|listener| listener.port).collect();
        assert_eq!(kept, (30..94).collect());

        let mut queues = Queues::new();
        first.iter().for_each(|listener| add(&mut queues, listener));
        assert_eq!(queues.len(), 65);
        let other = Queue {
            length: 6,
            limit: 60,
        };
        assert_eq!(queues[&(None, Family::Ipv4)], other);
    }

    #[test]
    fn sockets_of_one_port_are_one_queue() {
        let mut queues = Queues::new();
        for cgroup in 0..3 {
            add(&mut queues, &listener(1, cgroup, 80));
        }
        let all = Queue {
            length: 3,
            limit: 30,
        };
        assert_eq!(queues, Queues::from([((Some(80), Family::Ipv4), all)]));
    }
}
