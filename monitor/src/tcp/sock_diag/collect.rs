//! Adds up the sockets of one network namespace: by cgroup and state, and accept queues by port.

use std::collections::BTreeMap;

use monitor_ebpf::{Family, Key, MAX_PORTS};

use super::message::{Queue, Socket};
use crate::tcp::{Entry, Listener, SocketTable, StateCounts};

/// The sockets of one namespace, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Collector {
    cgroups: BTreeMap<u64, Cgroup>,
}

/// What is known of one cgroup's sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cgroup {
    counts: StateCounts,
    /// How many ports of `queues` are told apart.
    ports: u64,
    queues: BTreeMap<(Option<u16>, Family), Sum>,
}

/// The accept queues of one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    length: u64,
    limit: u64,
}

impl Collector {
    /// Adds a socket. Of a cgroup's ports the first [`MAX_PORTS`] are told apart, each family's
    /// for itself, as in the eBPF pass.
    pub(super) fn add(&mut self, socket: &Socket) {
        let cgroup = self.cgroups.entry(socket.cgroup).or_default();
        cgroup.counts.add(socket.family, socket.counted_state());
        if let Some(queue) = socket.queue {
            cgroup.add_queue(socket.family, queue);
        }
    }

    /// Puts what was added into `table`, as that of the namespace that the numbers say; ordered by
    /// cgroup and port, what is not told apart first.
    pub(super) fn finish(self, netns: u64, inode: u64, table: &mut SocketTable) {
        for (id, cgroup) in self.cgroups {
            let key = Key { netns, cgroup: id };
            table.entries.push(Entry {
                key,
                inode,
                counts: cgroup.counts,
            });
            let listener = |((port, family), sum): ((Option<u16>, Family), Sum)| Listener {
                key,
                inode,
                port,
                family,
                length: sum.length,
                limit: sum.limit,
            };
            table
                .listeners
                .extend(cgroup.queues.into_iter().map(listener));
        }
    }
}

impl Cgroup {
    fn add_queue(&mut self, family: Family, queue: Queue) {
        let mut port = Some(queue.port);
        if !self.queues.contains_key(&(port, family)) {
            if self.ports < MAX_PORTS {
                self.ports += 1;
            } else {
                port = None;
            }
        }
        let sum = self.queues.entry((port, family)).or_default();
        sum.length += u64::from(queue.length);
        sum.limit += u64::from(queue.limit);
    }
}

#[cfg(test)]
mod tests {
    use monitor_ebpf::TcpState;

    use super::*;
    use crate::tcp::sock_diag::message::Kind;

    fn listener(family: Family, cgroup: u64, port: u16, length: u32, limit: u32) -> Socket {
        Socket {
            family,
            state: TcpState::Listen as u8,
            kind: Kind::Full,
            cgroup,
            queue: Some(Queue {
                port,
                length,
                limit,
            }),
        }
    }

    fn collect(sockets: &[Socket]) -> SocketTable {
        let mut collector = Collector::default();
        for socket in sockets {
            collector.add(socket);
        }
        let mut table = SocketTable::default();
        collector.finish(7, 4026531840, &mut table);
        table
    }

    #[test]
    fn listeners_of_a_port_are_summed_by_family_and_cgroup() {
        let table = collect(&[
            listener(Family::Ipv4, 5, 80, 1, 128),
            listener(Family::Ipv4, 5, 80, 2, 64),
            listener(Family::Ipv6, 5, 80, 4, 32),
            listener(Family::Ipv4, 6, 80, u32::MAX, u32::MAX),
            listener(Family::Ipv4, 6, 80, u32::MAX, u32::MAX),
        ]);
        let found: Vec<_> = table
            .listeners
            .iter()
            .map(|l| (l.key.cgroup, l.port, l.family, l.length, l.limit))
            .collect();
        let huge = 2 * u64::from(u32::MAX);
        assert_eq!(
            found,
            [
                (5, Some(80), Family::Ipv4, 3, 192),
                (5, Some(80), Family::Ipv6, 4, 32),
                (6, Some(80), Family::Ipv4, huge, huge),
            ]
        );
        let listening: Vec<_> = table
            .entries
            .iter()
            .map(|entry| {
                let of = |family| entry.counts.get(family, TcpState::Listen);
                (entry.key, entry.inode, of(Family::Ipv4), of(Family::Ipv6))
            })
            .collect();
        let key = |cgroup| Key { netns: 7, cgroup };
        assert_eq!(
            listening,
            [(key(5), 4026531840, 2, 1), (key(6), 4026531840, 2, 0)]
        );
    }

    #[test]
    fn ports_beyond_the_limit_are_not_told_apart() {
        let limit = u16::try_from(MAX_PORTS).unwrap();
        let mut sockets: Vec<_> = (1..=limit)
            .map(|port| listener(Family::Ipv4, 5, port, 0, 1))
            .collect();
        assert_eq!(collect(&sockets).listeners.len(), usize::from(limit));
        assert!(collect(&sockets).listeners.iter().all(|l| l.port.is_some()));
        // Two more, another socket of a port that is told apart, and one of another cgroup.
        sockets.push(listener(Family::Ipv4, 5, limit + 1, 10, 100));
        sockets.push(listener(Family::Ipv4, 5, limit + 2, 20, 200));
        sockets.push(listener(Family::Ipv6, 5, 1, 40, 400));
        sockets.push(listener(Family::Ipv4, 5, limit, 3, 30));
        sockets.push(listener(Family::Ipv4, 6, limit + 1, 5, 50));
        let table = collect(&sockets);
        let find = |cgroup, port, family| {
            let mut matching = table
                .listeners
                .iter()
                .filter(|l| (l.key.cgroup, l.port, l.family) == (cgroup, port, family));
            let found = matching.next().map(|l| (l.length, l.limit));
            assert_eq!(matching.next(), None);
            found
        };
        assert_eq!(find(5, None, Family::Ipv4), Some((30, 300)));
        assert_eq!(find(5, None, Family::Ipv6), Some((40, 400)));
        assert_eq!(find(5, Some(limit), Family::Ipv4), Some((3, 31)));
        assert_eq!(find(5, Some(limit + 1), Family::Ipv4), None);
        assert_eq!(find(6, Some(limit + 1), Family::Ipv4), Some((5, 50)));
        assert_eq!(find(6, None, Family::Ipv4), None);
        assert_eq!(table.listeners.len(), usize::from(limit) + 3);
    }
}
