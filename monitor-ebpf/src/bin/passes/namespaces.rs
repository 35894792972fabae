//! Lists the network namespaces of the kernel, all of them, with the counters of each.
//!
//! They hang on a ring (`net->list`), whose head is no namespace: its `ns.ops` are something else.
//! Their counters are per-CPU, the sum over all possible CPUs is what the files of `/proc` show
//! (`snmp_fold_field` in `net/ipv4/af_inet.c`).

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    helpers::bpf_ktime_get_ns, macros::map, maps::Array, programs::RawTracePointContext,
};
use monitor_ebpf::{GONE, MAX_NAMESPACES, NamespaceRecord};

use crate::counters;
use crate::kernel::{Net, Probe};
use crate::net::{HashInfo, current_net, is_unlinked};
use crate::state::{State, repeat};

/// More namespaces than any machine has: a bound on a walk that is led in circles.
const MOST: u32 = 1 << 20;

/// What is told of each namespace.
#[map]
pub(crate) static NAMESPACES: Array<NamespaceRecord> = Array::with_max_entries(MAX_NAMESPACES, 0);

/// The walk over the ring.
struct Ring {
    /// Where it began.
    first: u64,
    /// The next one.
    net: u64,
    ops: u64,
    /// Whether the next one was told of before.
    skip: u64,
    cpus: u64,
    deadline: u64,
    /// How many were told of.
    done: u64,
    has_ended: u64,
}

#[unsafe(no_mangle)]
static RING: State<Ring> = State::new(Ring {
    first: 0,
    net: 0,
    ops: 0,
    skip: 0,
    cpus: 0,
    deadline: 0,
    done: 0,
    has_ended: 0,
});

/// Tells of namespaces in the map [`NAMESPACES`]. Its arguments: address of the `struct net` that
/// was told of last, or 0 to begin with the caller's own; its key; how many possible CPUs there
/// are, or 0 for no counters; nanoseconds to take.
///
/// Returns how many it told of, with bit 31 set when these were the last; [`GONE`] where the one
/// that was told of last is no more.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp")]
extern "C" fn namespaces(context: *mut c_void) -> u32 {
    let context = RawTracePointContext::new(context);
    let own = current_net();
    let last: u64 = context.arg(0);
    let key: u64 = context.arg(1);
    let cpus: u64 = context.arg(2);
    let nanoseconds: u64 = context.arg(3);
    let ops = own.ops();
    let from = if last == 0 {
        own
    } else {
        Net(last as *const u8)
    };
    if from.ops() != ops || (last != 0 && (from.key::<Probe>() != key || is_unlinked(from))) {
        return GONE;
    }
    let ring = RING.get();
    ring.first = own.0 as u64;
    ring.net = from.0 as u64;
    ring.ops = ops;
    ring.skip = u64::from(last != 0);
    ring.cpus = cpus;
    // SAFETY: it only reads a clock.
    ring.deadline = unsafe { bpf_ktime_get_ns() } + nanoseconds;
    ring.done = 0;
    ring.has_ended = 0;
    repeat(MOST, namespace);
    let ring = RING.get();
    ring.done as u32 | (ring.has_ended as u32) << 31
}

extern "C" fn namespace(_index: u32, _context: *mut c_void) -> c_long {
    let ring = RING.get();
    let net = Net(ring.net as *const u8);
    if ring.skip != 0 {
        ring.skip = 0;
    } else if net.ops() == ring.ops {
        let Some(record) = NAMESPACES.get_ptr_mut(ring.done as u32) else {
            return 1;
        };
        // SAFETY: an element of the map.
        tell(net, ring, unsafe { &mut *record });
        ring.done += 1;
    }
    let Some(next) = net.next() else {
        return 1;
    };
    if next.0 as u64 == ring.first {
        ring.has_ended = 1;
        return 1;
    }
    ring.net = next.0 as u64;
    // SAFETY: it only reads a clock.
    c_long::from(ring.done > 0 && unsafe { bpf_ktime_get_ns() } >= ring.deadline)
}

#[inline(always)]
fn tell(net: Net, ring: &Ring, record: &mut NamespaceRecord) {
    let info = HashInfo::of(net);
    record.net = net.0 as u64;
    record.key = net.key::<Probe>();
    record.inode = net.inode::<Probe>();
    record.ehash = info.established().0;
    record.lhash2 = info.listening().0;
    record.failed = 0;
    if ring.cpus == 0 {
        return;
    }
    for counter in &mut record.counters {
        // SAFETY: a live reference. Word by word: a `memset` of this target goes byte by byte.
        unsafe { core::ptr::write_volatile(counter, 0) };
    }
    counters::sum(net, ring.done, ring.cpus);
}
