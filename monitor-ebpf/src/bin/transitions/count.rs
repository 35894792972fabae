//! Counts TCP state transitions by network namespace and cgroup, from `sock:inet_sock_set_state`.
//!
//! Two programs for one tracepoint: user space loads the first that the kernel takes.

use aya_ebpf::{
    EbpfContext, Global,
    bindings::BPF_NOEXIST,
    macros::{btf_tracepoint, map, tracepoint},
    maps::{Array, HashMap},
    programs::{BtfTracePointContext, TracePointContext},
};
use monitor_ebpf::{Key, MAX_KEYS, Problems, SLOTS, Transitions, UNLISTED, slot};

use crate::kernel::{Memory, Net, Probe, SK_NET, Sock};

const IPPROTO_TCP: u16 = 6;

/// One hash for all CPUs, with atomic adds: its size does not depend on the number of CPUs.
#[map]
static TRANSITIONS: HashMap<Key, Transitions> = HashMap::with_max_entries(MAX_KEYS, 0);

#[map]
static PROBLEMS: Array<Problems> = Array::with_max_entries(1, 0);

/// `offsetof(struct sock, sk_protocol)`
#[unsafe(no_mangle)]
static SK_PROTOCOL: Global<u64> = Global::new(0);

/// The bits of a 16-bit load at [`SK_PROTOCOL`] that are the protocol: it was 8 bits wide once.
#[unsafe(no_mangle)]
static SK_PROTOCOL_MASK: Global<u64> = Global::new(0xffff);

/// Offsets in the plain tracepoint's record, from its `format` file.
#[unsafe(no_mangle)]
static RECORD_SKADDR: Global<u64> = Global::new(8);
#[unsafe(no_mangle)]
static RECORD_OLDSTATE: Global<u64> = Global::new(16);
#[unsafe(no_mangle)]
static RECORD_NEWSTATE: Global<u64> = Global::new(20);

/// A bound on those offsets that also a verifier sees that does not know globals as constants.
const RECORD_MASK: u64 = 0xff;

/// Plain loads. Only for pointers whose type the verifier knows (tp_btf); bad addresses read as
/// zero, by the kernel's exception table.
struct Direct;

impl Memory for Direct {
    #[inline(always)]
    unsafe fn load<T: Copy>(base: *const u8, offset: u64) -> T {
        // SAFETY: the caller's; volatile, so that the verifier sees one load of this very size.
        unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
    }
}

/// The fast one: arguments with types, direct loads (Linux 5.5 with BTF).
#[btf_tracepoint(function = "inet_sock_set_state")]
fn transitions_btf(context: BtfTracePointContext) -> i32 {
    let sock = Sock(context.arg(0));
    count::<Direct, _>(&context, sock, context.arg(1), context.arg(2));
    0
}

/// The same from the tracepoint's record, by probe reads.
#[tracepoint(category = "sock", name = "inet_sock_set_state")]
fn transitions_tracepoint(context: TracePointContext) -> u32 {
    let record = context.as_ptr().cast_const().cast::<u8>();
    // SAFETY: the record of this tracepoint, at the offsets of its format file.
    let (sock, old, new) = unsafe {
        (
            Probe::load(record, RECORD_SKADDR.load() & RECORD_MASK),
            Probe::load(record, RECORD_OLDSTATE.load() & RECORD_MASK),
            Probe::load(record, RECORD_NEWSTATE.load() & RECORD_MASK),
        )
    };
    count::<Probe, _>(&context, Sock(sock), old, new);
    0
}

#[inline(always)]
fn count<M: Memory, C: EbpfContext>(context: &C, sock: Sock, old: i32, new: i32) {
    // An MPTCP socket (protocol 262) shows its state here too, beside its subflows' own. A
    // repeated shutdown() reports FIN_WAIT1→FIN_WAIT1: nothing happened.
    if protocol::<M>(sock) != IPPROTO_TCP || old == new {
        return;
    }
    // SAFETY: a struct sock, and its field's offset.
    let net = Net(unsafe { M::load(sock.0, SK_NET.load()) });
    let inode = net.inode::<M>();
    let key = Key {
        netns: net.key::<M>(),
        cgroup: sock.cgroup_id::<M>(),
    };
    let Some(entry) = entry(&key, inode) else {
        problem(context, 0);
        return;
    };
    let slot = slot(old, new) & (SLOTS - 1);
    // SAFETY: a live value of the map; a deleted one stays mapped memory of the same shape.
    unsafe { add(&raw mut (*entry).counts[slot]) };
    if slot == usize::from(UNLISTED) {
        problem(context, 1);
    }
}

/// `sk->sk_protocol`
#[inline(always)]
fn protocol<M: Memory>(sock: Sock) -> u16 {
    // SAFETY: a struct sock, and its field's offset.
    unsafe { M::load::<u16>(sock.0, SK_PROTOCOL.load()) & SK_PROTOCOL_MASK.load() as u16 }
}

#[inline(always)]
fn entry(key: &Key, inode: u64) -> Option<*mut Transitions> {
    if let Some(entry) = TRANSITIONS.get_ptr_mut(key) {
        return Some(entry);
    }
    let empty = Transitions {
        inode,
        counts: [0; SLOTS],
    };
    // Whether it worked, or another CPU was faster, or the map is full, the look-up tells.
    let _ = TRANSITIONS.insert(key, &empty, u64::from(BPF_NOEXIST));
    TRANSITIONS.get_ptr_mut(key)
}

/// Counts a problem (0: map full, 1: unlisted transition) and says so at its 1st, 2nd, 4th, 8th…
/// time.
#[inline(always)]
fn problem<C: EbpfContext>(context: &C, which: usize) {
    let Some(problems) = PROBLEMS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the map's only element; it has two counters.
    let counter = unsafe {
        if which == 0 {
            &raw mut (*problems).map_full
        } else {
            &raw mut (*problems).unlisted
        }
    };
    // SAFETY: as above.
    let total = unsafe {
        add(counter);
        core::ptr::read_volatile(counter)
    };
    if total & (total - 1) == 0 {
        warn(context, which, total);
    }
}

#[cfg(feature = "log")]
#[inline(always)]
fn warn<C: EbpfContext>(context: &C, which: usize, total: u64) {
    if which == 0 {
        aya_log_ebpf::warn!(
            context,
            "transition map is full: {} transitions lost",
            total
        );
    } else {
        aya_log_ebpf::warn!(
            context,
            "{} transitions between states that no list has",
            total
        );
    }
}

#[cfg(not(feature = "log"))]
#[inline(always)]
fn warn<C: EbpfContext>(_context: &C, _which: usize, _total: u64) {}

/// One atomic add, without the fetch that `AtomicU64` would want (Linux 5.12).
///
/// # Safety
/// `counter` points to a counter in a map's value.
#[inline(always)]
unsafe fn add(counter: *mut u64) {
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({counter} + 0) += {one}",
            counter = in(reg) counter,
            one = in(reg) 1u64,
        );
    }
}
