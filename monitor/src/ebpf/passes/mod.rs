//! Reading the kernel's own tables in one pass: all TCP sockets of all network namespaces, and
//! every namespace's counters.
//!
//! The programs are loaded and never attached: they run when they are asked to
//! (`BPF_PROG_TEST_RUN`), a slice at a time, and take no lock. What it needs of the kernel is
//! found out by asking for it: `bpf_loop` (Linux 5.17), for the counters
//! `bpf_map_lookup_percpu_elem` (5.19) too, and BTF.

mod layout;
mod offsets;
mod run;

use std::io;
use std::time::{Duration, Instant};

use aya::maps::{Array, Map};
use aya::programs::{ProgramType, RawTracePoint, RawTracePointRunOptions, TestRun as _};
use aya::sys::is_helper_supported;
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use aya_obj::generated::bpf_func_id;
use monitor_ebpf::{FieldsWords, GONE, MAX_NAMESPACES, NamespaceRecord, NamespaceWords};

use super::error::load_error;
use super::offsets::{self as common, Resolver};
use super::{EbpfError, Kernel, sys};
use crate::metrics::schema::SlotSource;
pub use layout::Layout;
pub use run::{SocketPass, Trouble};

const OBJECT: &[u8] = include_bytes_aligned!("../../../bpf/passes.o");

/// How long one run of a program may take: no CPU is held longer.
const SLICE: Duration = Duration::from_micros(250);

/// Bit of the program's answer that says that the ring of namespaces has come to its end.
const RING_ENDED: u32 = 1 << 31;

/// More namespaces than any machine has: a bound on a ring that leads in circles.
const MOST_NAMESPACES: usize = 1 << 20;

/// The loaded programs.
#[derive(Debug)]
pub struct Passes {
    ebpf: Ebpf,
    sockets: Map,
    listeners: Map,
    pass: Map,
    namespaces: Map,
    has_cookie: bool,
    /// Number of the last pass over the sockets.
    generation: u64,
    counters: Option<Counting>,
}

/// What the counters are read by.
#[derive(Debug)]
struct Counting {
    layout: Layout,
    /// Possible CPUs.
    cpus: u32,
}

/// A network namespace of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelNamespace {
    /// As in [`Key::netns`](monitor_ebpf::Key::netns).
    pub key: u64,
    /// Inode number.
    pub inode: u64,
    net: u64,
    ehash: u64,
    lhash2: u64,
    /// Whether its counters could be read.
    has_counters: bool,
}

/// All network namespaces, with the counters of each.
#[derive(Clone, Debug, Default)]
pub struct NamespacePass {
    /// The namespaces.
    pub namespaces: Vec<KernelNamespace>,
    /// Their counters, one namespace's behind the other's.
    counters: Vec<u64>,
    /// Counters of each.
    width: usize,
    /// Time it took.
    pub duration: Duration,
}

impl NamespacePass {
    /// The counters of the namespace at a place in [`namespaces`](Self::namespaces), in the order
    /// of [`Layout::slots`]; `None` where they were not asked for or could not be read.
    pub fn counters(&self, place: usize) -> Option<&[u64]> {
        let namespace = self.namespaces.get(place)?;
        (namespace.has_counters && self.width > 0)
            .then(|| &self.counters[place * self.width..][..self.width])
    }
}

impl Passes {
    /// Loads the programs.
    ///
    /// # Errors
    /// See [`EbpfError`].
    pub fn load(kernel: &Kernel) -> Result<Self, EbpfError> {
        Self::try_load(kernel).map_err(|error| kernel.explain(error))
    }

    fn try_load(kernel: &Kernel) -> Result<Self, EbpfError> {
        needs(bpf_func_id::BPF_FUNC_loop, "bpf_loop (Linux 5.17)")?;
        let mut resolver = Resolver::new(&kernel.btf);
        let shared = common::shared(&mut resolver, kernel.cookies)?;
        let tables = offsets::tables(&mut resolver)?;
        // Without them there are no counters: `enable_counters` says so.
        let counters = offsets::counters(&mut resolver).unwrap_or_default();
        let cpus = possible_cpus()?;
        let mut ebpf = {
            let mut loader = EbpfLoader::new();
            // The object has no CO-RE relocations; the loader need not keep the kernel's BTF.
            loader.btf(None).map_max_entries("CPU_OFFSETS", cpus);
            for globals in [&shared, &tables, &counters] {
                globals.apply(&mut loader);
            }
            loader.load(OBJECT).map_err(load_error)?
        };
        for name in ["namespaces", "sockets"] {
            load_program(&mut ebpf, name)?;
        }
        let mut map = |name: &str| {
            ebpf.take_map(name)
                .ok_or_else(|| EbpfError::Load(format!("it has no map {name}")))
        };
        Ok(Self {
            sockets: map("SOCKETS")?,
            listeners: map("LISTENERS")?,
            pass: map("PASS")?,
            namespaces: map("NAMESPACES")?,
            ebpf,
            has_cookie: shared.get("NET_COOKIE") != 0,
            generation: 0,
            counters: None,
        })
    }

    /// Whether namespaces are known by their cookies; else by their inode numbers.
    pub fn has_cookie(&self) -> bool {
        self.has_cookie
    }

    /// Makes [`namespaces`](Self::namespaces) read counters too: those of `slots` that the kernel
    /// has. Gives what they are.
    ///
    /// # Errors
    /// The kernel is too different, or too old.
    pub fn enable_counters(
        &mut self,
        kernel: &Kernel,
        slots: &[SlotSource],
    ) -> Result<&Layout, EbpfError> {
        offsets::counters(&mut Resolver::new(&kernel.btf))?;
        needs(
            bpf_func_id::BPF_FUNC_map_lookup_percpu_elem,
            "bpf_map_lookup_percpu_elem (Linux 5.19)",
        )?;
        let cpus = possible_cpus()?;
        load_program(&mut self.ebpf, "cpu_offsets")?;
        let found = self
            .run("cpu_offsets", &[u64::from(cpus)])
            .map_err(|error| EbpfError::Load(error.to_string()))?;
        if found != cpus {
            return Err(EbpfError::Load(format!(
                "it finds the counters of {found} CPUs, {cpus} are possible"
            )));
        }
        let layout = Layout::resolve(&kernel.btf, slots);
        self.tell_fields(&layout)
            .map_err(|error| EbpfError::Load(error.to_string()))?;
        let counting = self.counters.insert(Counting { layout, cpus });
        Ok(&counting.layout)
    }

    /// Goes back to reading no counters.
    pub fn disable_counters(&mut self) {
        self.counters = None;
    }

    fn tell_fields(&mut self, layout: &Layout) -> io::Result<()> {
        let map = self
            .ebpf
            .map_mut("FIELDS")
            .ok_or_else(|| io::Error::other("the object has no map FIELDS"))?;
        let mut map = Array::<_, FieldsWords>::try_from(map).map_err(io::Error::other)?;
        map.set(0, FieldsWords::from(layout.fields()), 0)
            .map_err(io::Error::other)
    }

    /// Lists all network namespaces of the kernel, those without a process too, beginning with
    /// the caller's own. One that is made or ends meanwhile may be missing, and with the one
    /// that was told of last those behind it.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn namespaces(&mut self) -> io::Result<NamespacePass> {
        let start = Instant::now();
        let counting = self.counters.as_ref();
        let cpus = counting.map_or(0, |counting| u64::from(counting.cpus));
        let width = counting.map_or(0, |counting| counting.layout.slots().count());
        let mut pass = NamespacePass {
            width,
            ..NamespacePass::default()
        };
        let (mut net, mut key) = (0, 0);
        while pass.namespaces.len() < MOST_NAMESPACES {
            let nanoseconds = SLICE.as_nanos() as u64;
            let answer = self.run("namespaces", &[net, key, cpus, nanoseconds])?;
            if answer == GONE {
                // What is missing is read from its files.
                break;
            }
            let count = (answer & !RING_ENDED).min(MAX_NAMESPACES);
            sys::for_each_element(self.namespaces_fd()?, count, |words: NamespaceWords| {
                let record = NamespaceRecord::from(words);
                (net, key) = (record.net, record.key);
                pass.namespaces.push(KernelNamespace {
                    key: record.key,
                    inode: record.inode,
                    net: record.net,
                    ehash: record.ehash,
                    lhash2: record.lhash2,
                    has_counters: cpus > 0 && record.failed == 0,
                });
                pass.counters.extend(&record.counters[..width]);
            })?;
            if answer & RING_ENDED != 0 || count == 0 {
                break;
            }
        }
        pass.duration = start.elapsed();
        Ok(pass)
    }

    fn run(&self, program: &str, arguments: &[u64]) -> io::Result<u32> {
        let program: &RawTracePoint = self
            .ebpf
            .program(program)
            .ok_or_else(|| io::Error::other(format!("the object has no program {program}")))?
            .try_into()
            .map_err(io::Error::other)?;
        let mut options = RawTracePointRunOptions::new();
        for (to, from) in options.args.iter_mut().zip(arguments) {
            *to = *from;
        }
        let result = program.test_run(options).map_err(io::Error::other)?;
        Ok(result.return_value)
    }
}

/// Whether the kernel lets such programs call a helper.
fn needs(helper: bpf_func_id, name: &'static str) -> Result<(), EbpfError> {
    match is_helper_supported(ProgramType::RawTracePoint, helper) {
        Ok(true) => Ok(()),
        Ok(false) => Err(EbpfError::NoSuch(name)),
        Err(error) => Err(load_error(error.into())),
    }
}

fn load_program(ebpf: &mut Ebpf, name: &str) -> Result<(), EbpfError> {
    let program: &mut RawTracePoint = ebpf
        .program_mut(name)
        .ok_or_else(|| EbpfError::Load(format!("it has no program {name}")))?
        .try_into()
        .map_err(|error: aya::programs::ProgramError| load_error(error.into()))?;
    program.load().map_err(|error| load_error(error.into()))
}

fn possible_cpus() -> Result<u32, EbpfError> {
    let cpus = aya::util::nr_cpus()
        .map_err(|(path, error)| EbpfError::Load(format!("cannot read {path}: {error}")))?;
    u32::try_from(cpus).map_err(|error| EbpfError::Load(error.to_string()))
}
