//! Lists the network namespaces of the kernel, all of them, with the counters of each.
//!
//! They hang on a ring (`net->list`), whose head is no namespace: its `ns.ops` are something else.
//! Their counters are per-CPU, the sum over all possible CPUs is what the files of `/proc` show
//! (`snmp_fold_field` in `net/ipv4/af_inet.c`).

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    helpers::{
        bpf_get_current_task, bpf_ktime_get_ns, bpf_probe_read_kernel_buf,
        generated::bpf_map_lookup_percpu_elem,
    },
    macros::map,
    maps::{Array, PerCpuArray},
    programs::RawTracePointContext,
};
use monitor_ebpf::{
    BLOCK_WORDS, Fields, GONE, MAX_FIELDS, MAX_NAMESPACES, NamespaceRecord, SCRATCH_WORDS,
};

use crate::kernel::{Memory as _, Net, Probe};
use crate::state::{State, repeat};

offsets! {
    /// `offsetof(struct task_struct, nsproxy)`
    TASK_NSPROXY,
    /// `offsetof(struct nsproxy, net_ns)`
    NSPROXY_NET,
    /// `offsetof(struct net, ns.ops)`
    NET_OPS,
    /// `offsetof(struct net, list)`
    NET_LIST,
    /// `offsetof(struct net, ipv4.tcp_death_row)`, with the offset of `hashinfo` in it unless it
    /// is a pointer.
    NET_DEATH_ROW,
    /// 1 where that is a pointer (Linux 5.19 to 6.1).
    DEATH_ROW_IS_POINTER,
    /// `offsetof(struct inet_timewait_death_row, hashinfo)`
    DEATH_ROW_HASHINFO,
    /// `offsetof(struct inet_hashinfo, ehash)`
    HASHINFO_EHASH,
    /// `offsetof(struct inet_hashinfo, ehash_mask)`
    HASHINFO_EHASH_MASK,
    /// `offsetof(struct inet_hashinfo, lhash2)`
    HASHINFO_LHASH2,
    /// `offsetof(struct inet_hashinfo, lhash2_mask)`
    HASHINFO_LHASH2_MASK,
    /// `offsetof(struct bpf_array, pptrs)`
    ARRAY_PPTRS,
    /// `offsetof(struct net, mib.tcp_statistics)`
    MIB_TCP,
    /// `offsetof(struct net, mib.udp_statistics)`
    MIB_UDP,
    /// `offsetof(struct net, mib.udp_stats_in6)`; 0 where there is no IPv6.
    MIB_UDP6,
    /// `offsetof(struct net, mib.net_statistics)`
    MIB_NET,
    /// `sizeof(struct tcp_mib)`
    MIB_TCP_SIZE,
    /// `sizeof(struct udp_mib)`
    MIB_UDP_SIZE,
    /// `sizeof(struct linux_mib)`
    MIB_NET_SIZE,
}

/// More namespaces than any machine has: a bound on a walk that is led in circles.
const MOST: u32 = 1 << 20;

/// The counters that are wanted.
#[map]
static FIELDS: Array<Fields> = Array::with_max_entries(1, 0);

/// What is told of each namespace.
#[map]
static NAMESPACES: Array<NamespaceRecord> = Array::with_max_entries(MAX_NAMESPACES, 0);

/// Where each CPU's copy of a per-CPU variable stands, from the variable's own address: one entry
/// for each possible CPU.
#[map]
static CPU_OFFSETS: Array<u64> = Array::with_max_entries(1, 0);

/// A per-CPU variable whose address is known.
#[map]
static PROBE: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// A place to put an address, so that it comes back as a number.
#[map]
static ADDRESS: Array<u64> = Array::with_max_entries(1, 0);

/// The network namespace of the thread that runs the program.
#[inline(always)]
pub(crate) fn current_net() -> Net {
    // SAFETY: a struct task_struct and its struct nsproxy, and their fields' offsets.
    unsafe {
        let task = bpf_get_current_task() as *const u8;
        let nsproxy: *const u8 = Probe::load(task, TASK_NSPROXY.load());
        Net(Probe::load(nsproxy, NSPROXY_NET.load()))
    }
}

impl Net {
    /// `net->ns.ops`
    #[inline(always)]
    pub(crate) fn ops(self) -> u64 {
        // SAFETY: the helper checks the address.
        unsafe { Probe::load(self.0, NET_OPS.load()) }
    }

    /// The next one on the ring.
    #[inline(always)]
    fn next(self) -> Self {
        // SAFETY: the first word of a struct list_head is its successor.
        let list: u64 = unsafe { Probe::load(self.0, NET_LIST.load()) };
        Self((list - NET_LIST.load()) as *const u8)
    }
}

/// A `struct inet_hashinfo *` of the kernel.
#[derive(Clone, Copy)]
pub(crate) struct HashInfo(*const u8);

impl HashInfo {
    /// The tables that a namespace's TCP sockets are in.
    #[inline(always)]
    pub(crate) fn of(net: Net) -> Self {
        // SAFETY: the helper checks the addresses.
        unsafe {
            let pointer: *const u8 = Probe::load(net.0, NET_DEATH_ROW.load());
            if DEATH_ROW_IS_POINTER.load() != 0 {
                Self(Probe::load(pointer, DEATH_ROW_HASHINFO.load()))
            } else {
                Self(pointer)
            }
        }
    }

    /// `ehash` and how many buckets it has.
    #[inline(always)]
    pub(crate) fn established(self) -> (u64, u64) {
        self.table(HASHINFO_EHASH.load(), HASHINFO_EHASH_MASK.load())
    }

    /// `lhash2` and how many buckets it has.
    #[inline(always)]
    pub(crate) fn listening(self) -> (u64, u64) {
        self.table(HASHINFO_LHASH2.load(), HASHINFO_LHASH2_MASK.load())
    }

    #[inline(always)]
    fn table(self, table: u64, mask: u64) -> (u64, u64) {
        // SAFETY: the helper checks the address.
        let (table, mask): (u64, u32) =
            unsafe { (Probe::load(self.0, table), Probe::load(self.0, mask)) };
        (table, u64::from(mask) + 1)
    }
}

/// Fills [`CPU_OFFSETS`], whose length is its argument. Returns how many it filled.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp")]
extern "C" fn cpu_offsets(context: *mut c_void) -> u32 {
    let context = RawTracePointContext::new(context);
    let Some(address) = ADDRESS.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: the map's only element. What is stored is the address of the kernel's own
    // `struct bpf_map`, which the verifier would not let us compute with.
    let variable: u64 = unsafe {
        core::ptr::write_volatile(address, &raw const PROBE as u64);
        let array = core::ptr::read_volatile(address);
        Probe::load(array as *const u8, ARRAY_PPTRS.load())
    };
    let cpus = CPUS.get();
    cpus.variable = variable;
    cpus.done = 0;
    let count: u64 = context.arg(0);
    repeat(count as u32, cpu_offset);
    CPUS.get().done as u32
}

/// The walk over the CPUs.
struct Cpus {
    /// Address of a per-CPU variable.
    variable: u64,
    /// CPUs whose own copy was found.
    done: u64,
}

#[unsafe(no_mangle)]
static CPUS: State<Cpus> = State::new(Cpus {
    variable: 0,
    done: 0,
});

extern "C" fn cpu_offset(cpu: u32, _context: *mut c_void) -> c_long {
    let cpus = CPUS.get();
    let (Some(address), Some(offset)) = (ADDRESS.get_ptr_mut(0), CPU_OFFSETS.get_ptr_mut(cpu))
    else {
        return 1;
    };
    let first = 0u32;
    // SAFETY: map, key and CPU are what the helper wants; elements of the maps.
    unsafe {
        let own = bpf_map_lookup_percpu_elem(
            (&raw const PROBE).cast_mut().cast(),
            (&raw const first).cast(),
            cpu,
        );
        if own.is_null() {
            return 1;
        }
        core::ptr::write_volatile(address, own as u64);
        let own = core::ptr::read_volatile(address);
        *offset = own.wrapping_sub(cpus.variable);
    }
    cpus.done += 1;
    0
}

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

/// Whether a namespace was taken off the ring, on which its successor was then too, perhaps:
/// `list_del_rcu` poisons the way back.
#[inline(always)]
fn is_unlinked(net: Net) -> bool {
    // SAFETY: the second word of a struct list_head is its predecessor.
    let previous: u64 = unsafe { Probe::load(net.0, NET_LIST.load() + 8) };
    // SAFETY: the helper checks the address; the first word is the successor.
    let back: u64 = unsafe { Probe::load(previous as *const u8, 0) };
    back != net.0 as u64 + NET_LIST.load()
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
    let next = net.next();
    if next.0 as u64 == ring.first {
        ring.has_ended = 1;
        return 1;
    }
    // A null pointer minus an offset: the read failed.
    if next.0 as u64 > u64::MAX - NET_LIST.load() {
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
    // SAFETY: the helper checks the addresses.
    let blocks = unsafe {
        [
            Probe::load(net.0, MIB_TCP.load()),
            Probe::load(net.0, MIB_UDP.load()),
            if MIB_UDP6.load() == 0 {
                0
            } else {
                Probe::load(net.0, MIB_UDP6.load())
            },
            Probe::load(net.0, MIB_NET.load()),
        ]
    };
    let sum = SUM.get();
    sum.record = ring.done;
    sum.blocks = blocks;
    repeat(ring.cpus as u32, cpu);
}

/// The sum over all CPUs of one namespace's counters.
struct Sum {
    /// Its place in [`NAMESPACES`].
    record: u64,
    /// Its per-CPU blocks of counters.
    blocks: [u64; 4],
}

#[unsafe(no_mangle)]
static SUM: State<Sum> = State::new(Sum {
    record: 0,
    blocks: [0; 4],
});

/// One CPU's counters of one namespace.
#[unsafe(no_mangle)]
static SCRATCH: State<[u64; SCRATCH_WORDS]> = State::new([0; SCRATCH_WORDS]);

/// Adds one CPU's counters.
extern "C" fn cpu(cpu: u32, _context: *mut c_void) -> c_long {
    let (sum, scratch) = (SUM.get(), SCRATCH.get());
    let (Some(record), Some(fields), Some(offset)) = (
        NAMESPACES.get_ptr_mut(sum.record as u32),
        FIELDS.get_ptr(0),
        CPU_OFFSETS.get_ptr(cpu),
    ) else {
        return 1;
    };
    // SAFETY: elements of the maps.
    let (record, fields, offset) = unsafe { (&mut *record, &*fields, *offset) };
    let sizes = [
        MIB_TCP_SIZE.load(),
        MIB_UDP_SIZE.load(),
        MIB_UDP_SIZE.load(),
        MIB_NET_SIZE.load(),
    ];
    let mut at = 0;
    for ((block, size), words) in sum.blocks.iter().zip(sizes).zip(BLOCK_WORDS) {
        // SAFETY: the blocks of `scratch` lie one behind the other.
        let to = unsafe { scratch.as_mut_ptr().add(at) };
        at += words;
        if *block == 0 {
            continue;
        }
        let size = (size as usize).min(words * 8);
        // SAFETY: within the block, and the helper checks the address.
        let read = unsafe {
            let to = core::slice::from_raw_parts_mut(to.cast::<u8>(), size);
            bpf_probe_read_kernel_buf(block.wrapping_add(offset) as *const u8, to)
        };
        if read.is_err() {
            record.failed += 1;
        }
    }
    for field in 0..MAX_FIELDS {
        if field as u64 >= fields.count {
            break;
        }
        let word = fields.words[field] as usize & (SCRATCH_WORDS - 1);
        record.counters[field] = record.counters[field].wrapping_add(scratch[word]);
    }
    0
}
