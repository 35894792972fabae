//! One pass over the socket tables: its slices, and what the maps hold at its end.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use aya::maps::{Array, Map};
use monitor_ebpf::{
    Family, GONE, KeyWords, ListenerKey, ListenerKeyWords, Pass, PassWords, Queue, QueueWords,
    Sockets, SocketsWords, Table,
};

use super::{KernelNamespace, Passes, SLICE, sys};
use crate::tcp::{Entry, Listener, SocketTable, StateCounts};

/// More slices than any table is worth, which is 8 s: a bound on a walk that is led astray.
const MOST_SLICES: u32 = 1 << 15;

/// A pass over the tables, and what it cost.
#[derive(Clone, Debug)]
pub struct SocketPass {
    /// All sockets.
    pub table: SocketTable,
    /// Kernel time, all slices together.
    pub duration: Duration,
    /// The longest slice.
    pub longest_slice: Duration,
    /// What did not go smoothly.
    pub trouble: Trouble,
}

/// What of a pass did not go smoothly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Chains that moved while they were followed, and were followed again.
    pub moved: u64,
    /// The same, given up.
    pub unsettled: u64,
    /// Sockets whose cgroup is not told because the map was full, and listeners whose accept queue
    /// found no room in theirs.
    pub folded: u64,
    /// Tables whose namespace ended while they were walked.
    pub gone: u64,
}

impl Passes {
    /// Walks every table that one of the namespaces uses, each once, and counts the sockets.
    ///
    /// # Errors
    /// Whatever the kernel says; and where more pairs of namespace and cgroup have sockets than
    /// the map has room for, so that some were not counted.
    pub fn sockets(&mut self, namespaces: &[KernelNamespace]) -> io::Result<SocketPass> {
        self.generation += 1;
        let before = self.told()?;
        let mut pass = SocketPass {
            table: SocketTable::default(),
            duration: Duration::ZERO,
            longest_slice: Duration::ZERO,
            trouble: Trouble::default(),
        };
        for (table, which, net) in tables(namespaces) {
            self.walk(net, table, which, &mut pass)?;
        }
        let after = self.told()?;
        pass.trouble.moved = after.moved - before.moved;
        pass.trouble.unsettled = after.unsettled - before.unsettled;
        pass.trouble.folded = after.folded - before.folded;
        pass.table = self.take_table()?;
        match after.lost - before.lost {
            0 => Ok(pass),
            lost => Err(io::Error::other(format!(
                "{lost} sockets were not counted: more pairs of network namespace and cgroup have \
                 some than the map has room for"
            ))),
        }
    }

    /// Walks one table, slice by slice.
    fn walk(&self, net: u64, table: u64, which: Table, pass: &mut SocketPass) -> io::Result<()> {
        let nanoseconds = SLICE.as_nanos() as u64;
        let mut first = 0u64;
        for _ in 0..MOST_SLICES {
            let start = Instant::now();
            let arguments = [
                net,
                table,
                which as u64,
                first,
                nanoseconds,
                self.generation,
            ];
            let next = self.run("sockets", &arguments)?;
            let took = start.elapsed();
            pass.duration += took;
            pass.longest_slice = pass.longest_slice.max(took);
            match next {
                0 => return Ok(()),
                GONE => {
                    pass.trouble.gone += 1;
                    return Ok(());
                }
                next if u64::from(next) > first => first = u64::from(next),
                _ => return Err(io::Error::other("the walk does not go on")),
            }
        }
        Err(io::Error::other("the walk does not end"))
    }

    /// Reads what was counted, and removes what an earlier pass had counted and this one did not.
    fn take_table(&mut self) -> io::Result<SocketTable> {
        let mut table = SocketTable::default();
        let generation = self.generation;
        let mut old: Vec<KeyWords> = Vec::new();
        sys::for_each_entry(
            hash(&self.sockets)?,
            |key: KeyWords, words: SocketsWords| {
                let sockets = Sockets::from(words);
                if sockets.generation == generation {
                    table.entries.push(Entry {
                        key: key.into(),
                        inode: sockets.inode,
                        counts: StateCounts::from_slots(sockets.counts),
                    });
                } else {
                    old.push(key);
                }
            },
        )?;
        let mut old_listeners: Vec<ListenerKeyWords> = Vec::new();
        sys::for_each_entry(
            hash(&self.listeners)?,
            |key: ListenerKeyWords, words: QueueWords| {
                let queue = Queue::from(words);
                if queue.generation == generation {
                    table.listeners.push(listener(key.into(), &queue));
                } else {
                    old_listeners.push(key);
                }
            },
        )?;
        for key in old {
            sys::delete(hash(&self.sockets)?, &key)?;
        }
        for key in old_listeners {
            sys::delete(hash(&self.listeners)?, &key)?;
        }
        Ok(table)
    }

    /// What the program has told since it was loaded.
    fn told(&self) -> io::Result<Pass> {
        let map = Array::<_, PassWords>::try_from(&self.pass).map_err(io::Error::other)?;
        map.get(&0, 0).map(Into::into).map_err(io::Error::other)
    }

    pub(super) fn namespaces_fd(&self) -> io::Result<BorrowedFd<'_>> {
        match &self.namespaces {
            Map::Array(data) => Ok(data.fd().as_fd()),
            _ => Err(io::Error::other("NAMESPACES is no array")),
        }
    }
}

fn hash(map: &Map) -> io::Result<BorrowedFd<'_>> {
    match map {
        Map::HashMap(data) => Ok(data.fd().as_fd()),
        _ => Err(io::Error::other("a map of the object is no hash map")),
    }
}

/// Every table once, with a namespace that uses it: the first on the ring, which is the caller's
/// own where it uses it too, and does not end as long as we are in it.
fn tables(namespaces: &[KernelNamespace]) -> Vec<(u64, Table, u64)> {
    let mut tables = Vec::new();
    let mut known = BTreeMap::new();
    for namespace in namespaces {
        for (table, which) in [
            (namespace.ehash, Table::Established),
            (namespace.lhash2, Table::Listening),
        ] {
            if table != 0 && known.insert(table, ()).is_none() {
                tables.push((table, which, namespace.net));
            }
        }
    }
    tables
}

fn listener(key: ListenerKey, queue: &Queue) -> Listener {
    let port = (key.port_and_family >> 1) as u16;
    Listener {
        key: key.key,
        inode: queue.inode,
        port: (port != 0).then_some(port),
        family: if key.port_and_family & 1 == 0 {
            Family::Ipv4
        } else {
            Family::Ipv6
        },
        length: queue.length,
        limit: queue.limit,
    }
}
