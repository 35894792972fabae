//! Counts the sockets of all network namespaces, by walking the kernel's own tables.
//!
//! No lock is taken. Whatever is read may be freed and used again while it is looked at
//! (`SLAB_TYPESAFE_BY_RCU`), so a chain's sockets are kept aside until its end mark says that it
//! was this bucket's chain to the end (`Documentation/RCU/rculist_nulls.rst`), and a namespace is
//! believed only where its `ns.ops` are a namespace's.
//!
//! A pass is made in slices, one run of the program each. Every loop has a bound.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel_buf},
    macros::map,
    maps::{Array, HashMap},
    programs::RawTracePointContext,
};
use monitor_ebpf::{
    Family, GONE, Key, ListenerKey, MAX_KEYS, MAX_LISTENERS, MAX_PORTS, Pass, Queue, SOCKET_SLOTS,
    Sockets, Table, TcpState, socket_slot,
};

use crate::kernel::{Memory as _, Net, Probe, SK_NET, Sock};
use crate::namespaces::{HashInfo, current_net};
use crate::state::{State, repeat};

offsets! {
    /// `offsetof(struct sock, __sk_common.skc_family)`
    SKC_FAMILY,
    /// `offsetof(struct sock, __sk_common.skc_state)`
    SKC_STATE,
    /// `offsetof(struct sock, __sk_common.skc_num)`
    SKC_NUM,
    /// `offsetof(struct sock, __sk_common.skc_nulls_node)`
    SKC_NULLS_NODE,
    /// Offset of the node that links listeners: the same, and before Linux 5.19
    /// `offsetof(struct inet_connection_sock, icsk_listen_portaddr_node)`.
    LISTEN_NODE,
    /// `offsetof(struct inet_timewait_sock, tw_substate)`
    TW_SUBSTATE,
    /// `offsetof(struct sock, sk_ack_backlog)`
    SK_ACK_BACKLOG,
    /// `offsetof(struct sock, sk_max_ack_backlog)`
    SK_MAX_ACK_BACKLOG,
    /// `sizeof(struct inet_listen_hashbucket)`
    LHASH2_STRIDE,
    /// Offset of the chain in it.
    LHASH2_HEAD,
}

/// Bucket heads that are read at a time; a power of two.
const CHUNK: u32 = 256;
/// Words of a chunk: those of `lhash2` take two each, their lock and their head; a power of two.
const HEADS_LEN: usize = 2 * CHUNK as usize;
/// Heads of a chunk that are looked at together; a power of two.
const GROUP: u32 = 8;
/// Sockets of a chain that are kept aside at a time; a power of two.
const PENDING_LEN: u64 = 64;
/// [`monitor_ebpf::COMMON_LEN`], as a length.
const COMMON_LEN: usize = monitor_ebpf::COMMON_LEN as usize;
/// Most times that a chain is looked at anew, be it for its length or because it moved.
const ROUNDS: u32 = 1024;
/// Most times that a chain that moved is followed again.
const RETRIES: u64 = 4;
/// Above which the end marks of `lhash2` begin (`LISTENING_NULLS_BASE`).
const LISTENING_NULLS_BASE: u64 = 1 << 29;

/// Most buckets that a table has; the kernel's own bound on `ehash` is lower, unless somebody
/// boots it with another one.
const MOST_BUCKETS: u64 = 1 << 24;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// A socket that was seen and is not counted yet.
#[repr(C)]
#[derive(Clone, Copy)]
struct Pending {
    netns: u64,
    net: u64,
    cgroup: u64,
    slot: u64,
    port: u64,
    length: u64,
    limit: u64,
}

impl Pending {
    const NONE: Self = Self {
        netns: 0,
        net: 0,
        cgroup: 0,
        slot: 0,
        port: 0,
        length: 0,
        limit: 0,
    };
}

#[map]
static SOCKETS: HashMap<Key, Sockets> = HashMap::with_max_entries(MAX_KEYS, 0);

/// A value of no generation: it would not fit the stack.
#[map]
static EMPTY: Array<Sockets> = Array::with_max_entries(1, 0);

#[map]
static LISTENERS: HashMap<ListenerKey, Queue> = HashMap::with_max_entries(MAX_LISTENERS, 0);

#[map]
static PASS: Array<Pass> = Array::with_max_entries(1, 0);

/// The buckets of a chunk, as they lie in the table.
#[unsafe(no_mangle)]
static HEADS: State<[u64; HEADS_LEN]> = State::new([0; HEADS_LEN]);

/// Sockets of a chain that were seen and are not counted yet.
#[unsafe(no_mangle)]
static PENDING: State<[Pending; PENDING_LEN as usize]> =
    State::new([Pending::NONE; PENDING_LEN as usize]);

/// The beginning of the socket that is looked at, and 8 bytes more.
#[unsafe(no_mangle)]
static COMMON: State<[u64; COMMON_LEN / 8 + 1]> = State::new([0; COMMON_LEN / 8 + 1]);

/// The walk that is under way.
#[unsafe(no_mangle)]
static WALK: State<Walk> = State::new(Walk::NONE);

/// The walk over one table, and over one chain of it.
struct Walk {
    /// Address of the table.
    table: u64,
    /// Its buckets.
    buckets: u64,
    /// A [`Table`].
    which: u64,
    /// The next bucket; within a chunk, its first one.
    next: u64,
    /// When to stop, by the kernel's clock.
    deadline: u64,
    /// The bucket whose chain is followed.
    bucket: u64,
    /// The next node of that chain, or its end mark.
    node: u64,
    /// How many of its sockets are kept aside.
    pending: u64,
    /// Whether some of them are counted already, so that it cannot be followed again.
    is_split: u64,
    /// How often it was followed in vain.
    retries: u64,
}

impl Walk {
    const NONE: Self = Self {
        table: 0,
        buckets: 0,
        which: 0,
        next: 0,
        deadline: 0,
        bucket: 0,
        node: 0,
        pending: 0,
        is_split: 0,
        retries: 0,
    };
}

/// One slice of a pass. Its arguments: address of a `struct net` that uses the table, address of
/// the table, which one it is ([`Table`]), its first bucket to be looked at, nanoseconds to take,
/// number of the pass.
///
/// Returns the first bucket that was not looked at, 0 at the table's end; [`GONE`] where the namespace is no more or has another table.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp")]
extern "C" fn sockets(context: *mut c_void) -> u32 {
    let context = RawTracePointContext::new(context);
    let net = Net(context.arg(0));
    let table: u64 = context.arg(1);
    let which: u64 = context.arg(2);
    let first: u64 = context.arg(3);
    let nanoseconds: u64 = context.arg(4);
    let generation: u64 = context.arg(5);
    let ops = current_net().ops();
    let Some(pass) = PASS.get_ptr_mut(0) else {
        return GONE;
    };
    // SAFETY: the map's only element.
    unsafe {
        (*pass).generation = generation;
        (*pass).ops = ops;
    }
    let info = HashInfo::of(net);
    let (address, buckets) = if which == Table::Listening as u64 {
        info.listening()
    } else {
        info.established()
    };
    let is_table = buckets & (buckets - 1) == 0 && buckets <= MOST_BUCKETS;
    if net.ops() != ops || address != table || !is_table || first >= buckets {
        return GONE;
    }
    let walk = WALK.get();
    walk.table = table;
    walk.buckets = buckets;
    walk.which = which;
    walk.next = first;
    walk.deadline = now() + nanoseconds;
    let chunks = (buckets - first).div_ceil(u64::from(CHUNK));
    repeat(chunks as u32, chunk);
    let next = WALK.get().next;
    if next >= buckets { 0 } else { next as u32 }
}

/// Looks at [`CHUNK`] buckets, or at what is left.
extern "C" fn chunk(_index: u32, _context: *mut c_void) -> c_long {
    let walk = WALK.get();
    let is_listening = walk.which == Table::Listening as u64;
    let count = (walk.buckets - walk.next).min(u64::from(CHUNK));
    let stride = stride(is_listening);
    let heads = HEADS.get().as_mut_ptr().cast::<u8>();
    // Buckets that are longer, as with a lock that is watched, are cut off here and left out
    // below: `bucket` reads their heads itself.
    let size = (count * stride) as usize;
    let size = if size > 8 * HEADS_LEN {
        8 * HEADS_LEN
    } else {
        size
    };
    // SAFETY: it is no more than there is room for.
    let heads = unsafe { core::slice::from_raw_parts_mut(heads, size) };
    let from = walk.table + stride * walk.next;
    // SAFETY: the helper checks the address.
    if unsafe { bpf_probe_read_kernel_buf(from as *const u8, heads) }.is_err() {
        return 1;
    }
    if is_listening || count != u64::from(CHUNK) {
        repeat(count as u32, bucket);
    } else {
        repeat(CHUNK / GROUP, group);
    }
    walk.next += count;
    c_long::from(now() >= walk.deadline)
}

/// Looks at [`GROUP`] buckets, most of which are empty, nearly always.
extern "C" fn group(index: u32, _context: *mut c_void) -> c_long {
    let first = (index * GROUP) & (CHUNK - GROUP);
    // SAFETY: the mask keeps the group within the array.
    let heads = unsafe { HEADS.get().as_ptr().add(first as usize) };
    let mut ends = 1;
    for place in 0..GROUP as usize {
        // SAFETY: as above.
        ends &= unsafe { heads.add(place).read() };
    }
    if ends != 0 {
        return 0;
    }
    for place in 0..GROUP {
        // SAFETY: as above; volatile, so that they are not all kept from the loop before.
        let head = unsafe { heads.add(place as usize).read_volatile() };
        if !is_end(head) {
            follow(u64::from(first + place), head);
        }
    }
    0
}

/// Counts the sockets of one bucket.
extern "C" fn bucket(index: u32, _context: *mut c_void) -> c_long {
    let walk = WALK.get();
    let index = u64::from(index);
    let is_listening = walk.which == Table::Listening as u64;
    // The verifier must see the very value that is compared.
    let at = core::hint::black_box(index * stride(is_listening) + offset(is_listening));
    let head = if at < 8 * HEADS_LEN as u64 {
        HEADS.get()[at as usize / 8 & (HEADS_LEN - 1)]
    } else {
        head(walk, index)
    };
    if !is_end(head) {
        follow(index, head);
    }
    0
}

/// Counts the sockets of the chain that begins with `head`, at `index` of the chunk.
#[inline(never)]
fn follow(index: u64, head: u64) -> u64 {
    let walk = WALK.get();
    walk.bucket = walk.next + index;
    walk.node = head;
    walk.pending = 0;
    walk.is_split = 0;
    walk.retries = 0;
    // Most chains have one socket, and need no loop.
    keep(walk);
    if is_end(walk.node) && is_own_end(walk) {
        if walk.pending > 0 {
            count(0, core::ptr::null_mut());
        }
        return 0;
    }
    repeat(ROUNDS, round);
    0
}

/// The first node of a bucket of the chunk, or its end mark.
#[inline(always)]
fn head(walk: &Walk, index: u64) -> u64 {
    let is_listening = walk.which == Table::Listening as u64;
    let bucket = walk.table + (walk.next + index) * stride(is_listening);
    // SAFETY: the helper checks the address.
    unsafe { Probe::load(bucket as *const u8, offset(is_listening)) }
}

/// Bytes of a bucket.
#[inline(always)]
fn stride(is_listening: bool) -> u64 {
    if is_listening {
        LHASH2_STRIDE.load()
    } else {
        8
    }
}

/// Where in a bucket its chain begins.
#[inline(always)]
fn offset(is_listening: bool) -> u64 {
    if is_listening { LHASH2_HEAD.load() } else { 0 }
}

/// Whether this is the end mark of a chain: a "nulls" value, which is odd, or a null pointer.
#[inline(always)]
fn is_end(node: u64) -> bool {
    node & 1 == 1 || node == 0
}

/// Follows a chain to its end, or until no more sockets can be kept aside, and counts them.
extern "C" fn round(_index: u32, _context: *mut c_void) -> c_long {
    let walk = WALK.get();
    repeat(PENDING_LEN as u32, step);
    let has_ended = is_end(walk.node);
    if has_ended && !is_own_end(walk) {
        walk.retries += 1;
        let again = walk.is_split == 0 && walk.retries < RETRIES;
        if let Some(pass) = PASS.get_ptr_mut(0) {
            // SAFETY: the map's only element.
            unsafe {
                if again {
                    (*pass).moved += 1;
                } else {
                    (*pass).unsettled += 1;
                }
            }
        }
        if again {
            walk.pending = 0;
            walk.node = head(walk, walk.bucket - walk.next);
            return 0;
        }
    }
    if walk.pending > 0 {
        repeat(walk.pending as u32, count);
    }
    walk.pending = 0;
    walk.is_split = 1;
    c_long::from(has_ended)
}

/// Whether the end mark that was reached is that of the bucket whose chain is followed.
#[inline(always)]
fn is_own_end(walk: &Walk) -> bool {
    let value = walk.node >> 1;
    if walk.which != Table::Listening as u64 {
        return value == walk.bucket;
    }
    // A null pointer: lists of listeners had no "nulls" before Linux 5.19.
    walk.node == 0 || value == LISTENING_NULLS_BASE + walk.bucket
}

/// Keeps the chain's next socket aside, unless there is none or no more room.
extern "C" fn step(_index: u32, _context: *mut c_void) -> c_long {
    let walk = WALK.get();
    if is_end(walk.node) || walk.pending == PENDING_LEN {
        return 1;
    }
    keep(walk);
    0
}

/// Keeps the socket at the chain's next node aside, and goes on to the node after it.
#[inline(never)]
fn keep(walk: &mut Walk) -> u64 {
    let node = walk.node;
    let is_listening = walk.which == Table::Listening as u64;
    let offset = if is_listening {
        LISTEN_NODE.load()
    } else {
        SKC_NULLS_NODE.load()
    };
    let sock = Sock((node - offset) as *const u8);
    let common = COMMON.get();
    // SAFETY: the helper checks the address; a struct sock is longer than this.
    let read = unsafe {
        let to = core::slice::from_raw_parts_mut(common.as_mut_ptr().cast::<u8>(), COMMON_LEN);
        bpf_probe_read_kernel_buf(sock.0, to)
    };
    if read.is_err() {
        // Not memory any more: the chain's end, and not the right one.
        walk.node = u64::MAX;
        return 0;
    }
    // The node's first word is its successor.
    walk.node = if is_listening && offset != SKC_NULLS_NODE.load() {
        // SAFETY: as above.
        unsafe { Probe::load(node as *const u8, 0) }
    } else {
        field(SKC_NULLS_NODE.load())
    };
    let state: u8 = field(SKC_STATE.load());
    let family: u16 = field(SKC_FAMILY.load());
    let is_listener = state == TcpState::Listen as u8;
    let is_socket = (family == AF_INET || family == AF_INET6)
        && state > 0
        && state <= TcpState::REQUEST
        // In the wrong table: it was used again meanwhile.
        && is_listener == is_listening;
    if !is_socket {
        return 0;
    }
    let family = if family == AF_INET6 {
        Family::Ipv6
    } else {
        Family::Ipv4
    };
    let is_full = state != TcpState::TimeWait as u8 && state != TcpState::REQUEST;
    let net: u64 = field(SK_NET.load());
    let kept = pending(walk.pending);
    kept.net = net;
    kept.netns = Net(net as *const u8).key::<Probe>();
    kept.cgroup = if is_full {
        sock.cgroup_id::<Probe>()
    } else {
        0
    };
    kept.slot = socket_slot(family, state_of(sock, state)) as u64;
    if is_listening {
        // SAFETY: a struct sock or what was one a moment ago, and its fields' offsets.
        unsafe {
            kept.port = u64::from(field::<u16>(SKC_NUM.load()));
            kept.length = u64::from(Probe::load::<u32>(sock.0, SK_ACK_BACKLOG.load()));
            kept.limit = u64::from(Probe::load::<u32>(sock.0, SK_MAX_ACK_BACKLOG.load()));
        }
    }
    walk.pending += 1;
    0
}

/// A field of the socket whose beginning was read last.
#[inline(always)]
fn field<T: Copy>(offset: u64) -> T {
    let common = COMMON.get().as_ptr().cast::<u8>();
    // SAFETY: the mask keeps it within the buffer, which is 8 bytes longer.
    unsafe {
        common
            .add(offset as usize & (COMMON_LEN - 1))
            .cast::<T>()
            .read_volatile()
    }
}

/// The state that a socket is counted in.
#[inline(always)]
fn state_of(sock: Sock, state: u8) -> u8 {
    if state != TcpState::TimeWait as u8 {
        return state;
    }
    // SAFETY: a struct inet_timewait_sock, and its field's offset.
    let substate: u8 = unsafe { Probe::load(sock.0, TW_SUBSTATE.load()) };
    if substate == TcpState::FinWait2 as u8 {
        TcpState::FIN_WAIT2_MINISOCK
    } else {
        state
    }
}

/// Counts a socket that was kept aside.
extern "C" fn count(index: u32, _context: *mut c_void) -> c_long {
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
fn queue(pass: &Pass, pending: &Pending, key: &Key, entry: &mut Sockets) {
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

/// The place of a socket that is kept aside.
#[inline(always)]
fn pending(index: u64) -> &'static mut Pending {
    &mut PENDING.get()[(index & (PENDING_LEN - 1)) as usize]
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: it only reads a clock.
    unsafe { bpf_ktime_get_ns() }
}
