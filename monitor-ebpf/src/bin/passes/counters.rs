//! A namespace's counters, summed over the CPUs.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    helpers::{bpf_probe_read_kernel_buf, generated::bpf_map_lookup_percpu_elem},
    macros::map,
    maps::{Array, PerCpuArray},
    programs::RawTracePointContext,
};
use monitor_ebpf::{BLOCK_WORDS, Fields, MAX_FIELDS, SCRATCH_WORDS};

use crate::kernel::{Memory as _, Net, Probe};
use crate::namespaces::NAMESPACES;
use crate::state::{State, repeat};

offsets! {
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

/// The counters that are wanted.
#[map]
static FIELDS: Array<Fields> = Array::with_max_entries(1, 0);

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

/// Adds the counters of all CPUs to the record of a namespace at a place in [`NAMESPACES`].
#[inline(always)]
pub(crate) fn sum(net: Net, record: u64, cpus: u64) {
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
    sum.record = record;
    sum.blocks = blocks;
    repeat(cpus as u32, cpu);
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
