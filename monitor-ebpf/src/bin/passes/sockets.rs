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
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel_buf},
    programs::RawTracePointContext,
};
use monitor_ebpf::{GONE, Table};

use crate::chain::{follow, is_end};
use crate::kernel::{Memory as _, Net, Probe};
use crate::net::{HashInfo, current_net};
use crate::state::{State, repeat};
use crate::tally::PASS;

offsets! {
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
/// Most buckets that a table has; the kernel's own bound on `ehash` is lower, unless somebody
/// boots it with another one.
const MOST_BUCKETS: u64 = 1 << 24;

/// The buckets of a chunk, as they lie in the table.
#[unsafe(no_mangle)]
static HEADS: State<[u64; HEADS_LEN]> = State::new([0; HEADS_LEN]);

/// The walk that is under way.
#[unsafe(no_mangle)]
pub(crate) static WALK: State<Walk> = State::new(Walk::NONE);

/// The walk over one table, and over one chain of it.
pub(crate) struct Walk {
    /// Address of the table.
    pub(crate) table: u64,
    /// Its buckets.
    pub(crate) buckets: u64,
    /// A [`Table`].
    pub(crate) which: u64,
    /// The next bucket; within a chunk, its first one.
    pub(crate) next: u64,
    /// When to stop, by the kernel's clock.
    pub(crate) deadline: u64,
    /// The bucket whose chain is followed.
    pub(crate) bucket: u64,
    /// The next node of that chain, or its end mark.
    pub(crate) node: u64,
    /// How many of its sockets are kept aside.
    pub(crate) pending: u64,
    /// Whether some of them are counted already, so that it cannot be followed again.
    pub(crate) is_split: u64,
    /// How often it was followed in vain.
    pub(crate) retries: u64,
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

/// The first node of a bucket of the chunk, or its end mark.
#[inline(always)]
pub(crate) fn head(walk: &Walk, index: u64) -> u64 {
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

#[inline(always)]
fn now() -> u64 {
    // SAFETY: it only reads a clock.
    unsafe { bpf_ktime_get_ns() }
}
