//! What is counted, and for whom.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{Array, HashMap},
};
use monitor_ebpf::{
    Key, ListenerKey, MAX_KEYS, MAX_LISTENERS, MAX_PORTS, Pass, Queue, SOCKET_SLOTS, Sockets, Table,
};

use crate::chain::{Pending, pending};
use crate::kernel::{Net, Probe};
use crate::sockets::WALK;

#[map]
static SOCKETS: HashMap<Key, Sockets> = HashMap::with_max_entries(MAX_KEYS, 0);

/// A value of no generation: it would not fit the stack.
#[map]
static EMPTY: Array<Sockets> = Array::with_max_entries(1, 0);

#[map]
static LISTENERS: HashMap<ListenerKey, Queue> = HashMap::with_max_entries(MAX_LISTENERS, 0);

#[map]
pub(crate) static PASS: Array<Pass> = Array::with_max_entries(1, 0);

/// Counts a socket that was kept aside.
pub(crate) extern "C" fn count(index: u32, _context: *mut c_void) -> c_long {
    let walk = WALK.get();
    let Some(pass) = PASS.get_ptr_mut(0) else {
        return 1;
    };
    // SAFETY: the map's only element.
    let pass = unsafe { &mut *pass };
    let pending = pending(u64::from(index));
    let mut key = Key {
        netns: pending.netns,
        cgroup: pending.cgroup,
    };
    let net = Net(pending.net as *const u8);
    let entry = match entry(&key) {
        Some(entry) => entry,
        None => {
            // Who is known by its key was a namespace when it was first seen.
            if net.ops() != pass.ops {
                return 0;
            }
            insert(&key);
            match entry(&key) {
                Some(entry) => entry,
                None => {
                    pass.folded += 1;
                    key.cgroup = 0;
                    insert(&key);
                    let Some(entry) = entry(&key) else {
                        pass.lost += 1;
                        return 0;
                    };
                    entry
                }
            }
        }
    };
    // SAFETY: a value of the map.
    let entry = unsafe { &mut *entry };
    if entry.generation != pass.generation {
        entry.generation = pass.generation;
        entry.inode = net.inode::<Probe>();
        entry.ports = 0;
        zero(&mut entry.counts);
    }
    entry.counts[pending.slot as usize & (SOCKET_SLOTS - 1)] += 1;
    pass.sockets += 1;
    if walk.which == Table::Listening as u64 {
        queue(pass, pending, &key, entry);
    }
    0
}

/// Adds a listener's accept queue to its port's.
#[inline(always)]
fn queue(pass: &mut Pass, pending: &Pending, key: &Key, entry: &mut Sockets) {
    let family = pending.slot >> 4 & 1;
    let mut listener = ListenerKey {
        key: *key,
        port_and_family: pending.port << 1 | family,
    };
    let mut found = LISTENERS.get_ptr_mut(&listener);
    // SAFETY: a value of the map.
    let is_new = found.is_none_or(|queue| unsafe { (*queue).generation } != pass.generation);
    if is_new {
        if entry.ports >= MAX_PORTS {
            found = None;
        } else if found.is_none() {
            insert_queue(&listener);
            found = LISTENERS.get_ptr_mut(&listener);
        }
        if found.is_some() {
            entry.ports += 1;
        } else {
            listener.port_and_family = family;
            insert_queue(&listener);
            found = LISTENERS.get_ptr_mut(&listener);
        }
    }
    let Some(queue) = found else {
        pass.folded += 1;
        return;
    };
    // SAFETY: a value of the map.
    let queue = unsafe { &mut *queue };
    if queue.generation != pass.generation {
        queue.generation = pass.generation;
        queue.inode = entry.inode;
        queue.length = 0;
        queue.limit = 0;
    }
    queue.length += pending.length;
    queue.limit += pending.limit;
}

#[inline(always)]
fn entry(key: &Key) -> Option<*mut Sockets> {
    SOCKETS.get_ptr_mut(key)
}

/// Makes an entry of no generation. Whether it worked, the look-up tells.
#[inline(always)]
fn insert(key: &Key) {
    if let Some(empty) = EMPTY.get(0) {
        let _ = SOCKETS.insert(key, empty, u64::from(BPF_NOEXIST));
    }
}

/// The same for a listening port.
#[inline(always)]
fn insert_queue(listener: &ListenerKey) {
    let empty = Queue {
        generation: 0,
        inode: 0,
        length: 0,
        limit: 0,
    };
    let _ = LISTENERS.insert(listener, &empty, u64::from(BPF_NOEXIST));
}

/// Word by word: a `memset` of this target goes byte by byte.
#[inline(always)]
fn zero(counts: &mut [u64; SOCKET_SLOTS]) {
    for count in counts {
        // SAFETY: a live reference.
        unsafe { core::ptr::write_volatile(count, 0) };
    }
}
