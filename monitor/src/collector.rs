//! One collection, from the containers to the text: the only thing that is done for a scrape.
//!
//! It blocks on `/proc` and on the kernel, so it runs on a thread of its own, never on the one
//! that serves HTTP.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, warn};

use crate::cgroups::Cgroups;
use crate::discovery::scan::{ScanMode, ScanSource};
use crate::discovery::{Inventory, SourceState, SourceStatus};
use crate::ebpf::{Kernel, Passes};
use crate::metrics::own::{
    CollectorStatus, DiscoveryStatus, EbpfStatus, OwnMetrics, OwnStatus, TcpLookStatus,
};
use crate::metrics::{CounterFile, HostValues, Schema};
use crate::netns::{Placement, Placer, visit};
use crate::procfs::{ProcFs, Process};
use crate::sampler::counters::{
    CounterSampler, CounterSamples, CountersError, CountersSource, NamedTarget,
};
use crate::sampler::namespace::{FileOutcome, Target};
use crate::sampler::places::HostNamespace;
use crate::sampler::tcp_states::{Surroundings, TcpStateSample, TcpStateSampler, TcpStatesSource};
use crate::sampler::transitions::{TransitionSample, TransitionSampler};
use crate::snapshot::{Samples, Snapshot};

/// Name of the collector of TCP state transitions.
pub const TRANSITIONS: &str = "transitions";

/// Name of the collector of TCP sockets by state.
pub const TCP_STATES: &str = "tcp-states";

/// Name of the pass over the kernel's own counters.
const COUNTERS: &str = "counters";

/// Name under which finding and placing containers shows among the collectors.
const DISCOVERY: &str = "discovery";

/// What a [`Collector`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// The proc file system.
    pub procfs: Arc<ProcFs>,
    /// All runtimes' containers.
    pub inventory: Arc<Inventory>,
    /// When to scan `/proc` for containers.
    pub scan: ScanMode,
    /// Whether the host's own namespace is reported.
    pub host_network: bool,
    /// The counter files that are read.
    pub files: Vec<CounterFile>,
    /// Where counters go.
    pub schema: Schema,
    /// Whether transitions are wanted; they may still be not to be had.
    pub wants_transitions: bool,
    /// The attached eBPF program, where there is one.
    pub transitions: Option<TransitionSampler>,
    /// The programs that read the kernel's tables, where there are.
    pub passes: Option<Passes>,
    /// What looks at the sockets.
    pub tcp_states: TcpStateSampler,
    /// Whose a cgroup is.
    pub cgroups: Cgroups,
    /// Whether the kernel gives cookies to namespaces.
    pub cookies: bool,
    /// The exporter's own metrics.
    pub own: OwnMetrics,
}

/// Collects.
#[derive(Debug)]
pub struct Collector {
    parts: Parts,
    placer: Placer,
    host: HostNamespace,
    init: Arc<Process>,
    scan: ScanSource,
    counters: CounterSampler,
    /// Failed samples since start, by collector.
    errors: HashMap<&'static str, u64>,
    dropped: u64,
    collections: u64,
    last_len: usize,
    buffer: Vec<u8>,
}

impl Collector {
    /// A collector that has not collected yet.
    ///
    /// # Errors
    /// The host's network namespace cannot be looked at: process 1 is out of reach.
    pub fn new(parts: Parts) -> io::Result<Self> {
        let placer = Placer::new(Arc::clone(&parts.procfs), parts.cookies)?;
        let init = Arc::new(parts.procfs.host_process()?);
        let cookie = parts
            .cookies
            .then(|| visit::in_each(&[&init], |_| visit::own_cookie()).pop());
        let host = HostNamespace {
            inode: placer.host_inode(),
            cookie: cookie.flatten().and_then(Result::ok),
        };
        Ok(Self {
            placer,
            host,
            init,
            scan: ScanSource::new(parts.scan),
            counters: CounterSampler::new(&parts.schema, &parts.files),
            parts,
            errors: HashMap::new(),
            dropped: 0,
            collections: 0,
            last_len: 0,
            buffer: Vec::new(),
        })
    }

    /// Takes the namespaces' counters from the kernel's own from now on, where they are what the
    /// files say.
    ///
    /// # Errors
    /// They cannot be read, or are something else; then they come from the files.
    pub fn use_kernel_counters(&mut self, kernel: &Kernel) -> Result<(), CountersError> {
        let host = host_target(&self.host, &self.init);
        let Parts {
            passes,
            schema,
            files,
            ..
        } = &mut self.parts;
        match passes {
            Some(passes) => self
                .counters
                .use_kernel(passes, kernel, schema, files, host),
            None => Ok(()),
        }
    }

    /// Collects once and returns the text of a scrape.
    pub fn collect(&mut self) -> String {
        let start = Instant::now();
        let mut status = OwnStatus::default();
        let placement = self.place(&mut status);
        let init = Arc::clone(&self.init);
        let targets = targets(&placement, host_target(&self.host, &init));
        let mut samples = self.sample_counters(&targets, &mut status);
        let sockets = self.sample_tcp_states(&placement, &targets, &mut samples, &mut status);
        let transitions = self.sample_transitions(&placement, &mut status);
        let host = self.sample_host();
        let mut namespaces = samples.namespaces.counters;
        let host_namespace = if self.parts.host_network {
            namespaces.pop().flatten()
        } else {
            None
        };
        let snapshot = Snapshot::merge(Samples {
            placement: &placement,
            namespaces,
            reports_host: self.parts.host_network,
            host_namespace,
            transitions,
            sockets,
            host,
        });
        let mut out = String::with_capacity(self.last_len + self.last_len / 8);
        status.series = snapshot.render(&self.parts.schema, &mut out);
        self.dropped += snapshot.dropped;
        self.collections += 1;
        status.series_dropped = self.dropped;
        status.collections = self.collections;
        status.collection_duration = start.elapsed();
        if let Err(error) = self.parts.own.render(&status, &mut out) {
            warn!(%error, "cannot write the exporter's own metrics");
        }
        self.last_len = out.len();
        out
    }

    /// Finds out where all containers stand.
    fn place(&mut self, status: &mut OwnStatus) -> Placement {
        let start = Instant::now();
        let Parts {
            inventory, procfs, ..
        } = &self.parts;
        // Before the containers: who says that its list is complete has it complete by then.
        let sources = inventory.sources();
        let containers = inventory.containers();
        let scans = self.scan.is_active(&sources);
        let ids = containers
            .iter()
            .map(|container| container.id.as_str())
            .collect();
        let placement = self.placer.place(&containers, |known| {
            if scans {
                self.scan.containers(procfs, self.host.inode, known, &ids)
            } else {
                Vec::new()
            }
        });
        let denied = if scans { self.scan.denied() } else { 0 };
        status.discovery = discovery_status(&sources, scans.then(|| self.scan.status()));
        status.network_namespaces = placement.namespaces.len() as u64;
        status.containers = count_by_runtime(&placement);
        status.collectors.push(CollectorStatus {
            name: DISCOVERY,
            // One container that fails is an error; discovery has failed when nothing is up.
            success: status.discovery.is_empty() || status.discovery.iter().any(|source| source.up),
            duration: start.elapsed(),
            errors: self.count_errors(DISCOVERY, placement.errors + denied),
        });
        placement
    }

    /// Reads every namespace's counters, and the host's, the last of `targets`, where they are
    /// asked for.
    fn sample_counters(
        &mut self,
        targets: &[NamedTarget<'_>],
        status: &mut OwnStatus,
    ) -> CounterSamples {
        let without_host = targets.len() - usize::from(!self.parts.host_network);
        let targets = &targets[..without_host];
        let was_kernel = self.counters.source() == CountersSource::Kernel;
        let samples = self.counters.sample(self.parts.passes.as_mut(), targets);
        let count = targets.len() as u64;
        for &(file, FileOutcome { duration, errors }) in &samples.namespaces.files {
            // One container that fails is an error; the collector has failed when all do.
            let success = errors == 0 || errors < count;
            let errors = self.count_errors(file.name(), errors);
            status.collectors.push(CollectorStatus {
                name: file.name(),
                success,
                duration,
                errors,
            });
        }
        if was_kernel {
            let errors = self.count_errors(COUNTERS, u64::from(samples.error.is_some()));
            status.collectors.push(CollectorStatus {
                name: COUNTERS,
                success: samples.error.is_none(),
                duration: samples.duration,
                errors,
            });
        }
        let source = self.counters.source();
        status.counters_sources = CountersSource::ALL
            .map(|known| (known.as_str(), known == source))
            .to_vec();
        samples
    }

    /// Looks at the sockets, unless the last look is still good, and gives them to their
    /// containers.
    fn sample_tcp_states<'a>(
        &mut self,
        placement: &'a Placement,
        targets: &[NamedTarget<'_>],
        samples: &mut CounterSamples,
        status: &mut OwnStatus,
    ) -> Option<TcpStateSample<'a>> {
        let start = Instant::now();
        let source = self.parts.tcp_states.source();
        let pass = samples.pass.take();
        let namespaces = pass.as_ref().map(|pass| pass.namespaces.len() as u64);
        if source != TcpStatesSource::Off {
            let mut failed = 0;
            if self.parts.tcp_states.is_due(start) {
                let wants_host = self.parts.host_network || !placement.host_network.is_empty();
                let wanted = targets.len() - usize::from(!wants_host);
                let result = self.parts.tcp_states.look(Surroundings {
                    passes: self.parts.passes.as_mut(),
                    pass,
                    targets: &targets[..wanted],
                    counters: &samples.namespaces.counters,
                });
                failed = match result {
                    Ok(()) => self.parts.tcp_states.last().map_or(0, |look| look.errors),
                    Err(error) => {
                        // Once: the count of errors tells the rest.
                        if self
                            .errors
                            .get(TCP_STATES)
                            .is_none_or(|errors| *errors == 0)
                        {
                            warn!(%error, "cannot look at the sockets");
                        }
                        1
                    }
                };
            }
            let errors = self.count_errors(TCP_STATES, failed);
            status.collectors.push(CollectorStatus {
                name: TCP_STATES,
                success: self.parts.tcp_states.last().is_some(),
                duration: start.elapsed(),
                errors,
            });
        }
        let Parts {
            tcp_states,
            cgroups,
            ..
        } = &mut self.parts;
        let source = tcp_states.source();
        status.tcp_states_sources = TcpStatesSource::ALL
            .map(|known| (known.as_str(), known == source))
            .to_vec();
        status.tcp_looks = (source != TcpStatesSource::Off).then_some(tcp_states.looks);
        let last = tcp_states.last();
        status.host_network_namespaces =
            namespaces.or_else(|| last.and_then(|look| look.namespaces));
        status.tcp_look = last.map(|look| TcpLookStatus {
            mismatch: look.mismatch,
            age: look.taken.elapsed(),
            duration: look.duration,
            longest_slice: (!look.longest_slice.is_zero()).then_some(look.longest_slice),
            sockets: look.sockets,
            folded: look.folded,
        });
        tcp_states.sample(placement, self.host, cgroups, start)
    }

    fn sample_transitions<'a>(
        &mut self,
        placement: &'a Placement,
        status: &mut OwnStatus,
    ) -> Option<TransitionSample<'a>> {
        if !self.parts.wants_transitions {
            return None;
        }
        let start = Instant::now();
        let host = self.host;
        let Parts {
            transitions,
            cgroups,
            ..
        } = &mut self.parts;
        let result = transitions
            .as_mut()
            .map(|sampler| sampler.sample(placement, host, cgroups));
        let failed = matches!(result, Some(Err(_)));
        let sample = result.and_then(|result| {
            result
                .inspect_err(|error| {
                    // Once: the count of errors tells the rest.
                    if self
                        .errors
                        .get(TRANSITIONS)
                        .is_none_or(|errors| *errors == 0)
                    {
                        warn!(%error, "cannot read the transition map");
                    }
                })
                .ok()
        });
        status.ebpf = self.parts.transitions.as_ref().map(|_| EbpfStatus {
            events: sample.as_ref().map(|sample| sample.events),
            missed_events: sample.as_ref().and_then(|sample| sample.missed),
            map_entries: sample.as_ref().map(|sample| sample.entries),
            map_full: sample.as_ref().map(|sample| sample.map_full),
            unlisted: sample.as_ref().map(|sample| sample.unlisted),
        });
        let errors = self.count_errors(TRANSITIONS, u64::from(failed));
        status.collectors.push(CollectorStatus {
            name: TRANSITIONS,
            success: sample.is_some(),
            duration: start.elapsed(),
            errors,
        });
        sample
    }

    fn sample_host(&mut self) -> HostValues {
        let mut values = HostValues::default();
        let page_size = rustix::param::page_size() as u64;
        let sockstat = self
            .init
            .read(c"net/sockstat", &mut self.buffer)
            .and_then(|()| {
                values
                    .read_sockstat(&self.buffer, page_size)
                    .map_err(io::Error::other)
            });
        let limits =
            read_tcp_mem(&self.parts.procfs, &self.init, &mut self.buffer).and_then(|()| {
                values
                    .read_tcp_mem(&self.buffer, page_size)
                    .map_err(io::Error::other)
            });
        for error in [sockstat, limits].into_iter().filter_map(Result::err) {
            debug!(%error, "a value of the host cannot be read");
        }
        values
    }

    /// Adds to the errors of a collector and returns their sum.
    fn count_errors(&mut self, collector: &'static str, errors: u64) -> u64 {
        let sum = self.errors.entry(collector).or_default();
        *sum += errors;
        *sum
    }
}

/// The host's namespace, to be read like a container's.
fn host_target<'a>(host: &HostNamespace, init: &'a Process) -> NamedTarget<'a> {
    NamedTarget {
        target: Target {
            inode: host.inode,
            process: init,
        },
        cookie: host.cookie,
    }
}

/// All namespaces of containers, and the host's behind them.
fn targets<'a>(placement: &'a Placement, host: NamedTarget<'a>) -> Vec<NamedTarget<'a>> {
    let namespaces = placement.namespaces.iter().map(|namespace| NamedTarget {
        target: Target {
            inode: namespace.inode,
            process: &namespace.process,
        },
        cookie: namespace.cookie,
    });
    namespaces.chain([host]).collect()
}

/// What the runtimes say, and the scan of `/proc` where it was made.
fn discovery_status(
    runtimes: &[SourceStatus],
    scan: Option<(&'static str, bool)>,
) -> Vec<DiscoveryStatus> {
    let runtimes = runtimes
        .iter()
        .filter(|source| source.state != SourceState::Absent)
        .map(|source| DiscoveryStatus {
            runtime: source.runtime,
            up: source.state == SourceState::Up,
            events: source.events,
        });
    let scan = scan.map(|(runtime, up)| DiscoveryStatus {
        runtime,
        up,
        events: 0,
    });
    runtimes.chain(scan).collect()
}

/// Reads `net.ipv4.tcp_mem`, which only the host's namespace has.
fn read_tcp_mem(procfs: &ProcFs, init: &Process, buffer: &mut Vec<u8>) -> io::Result<()> {
    const PATH: &str = "sys/net/ipv4/tcp_mem";
    match procfs.read(PATH, buffer) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = visit::in_each(&[init], |_| {
                let mut text = Vec::new();
                procfs.read(PATH, &mut text).map(|()| text)
            });
            *buffer = text.into_iter().next().unwrap_or(Err(error))?;
            Ok(())
        }
        result => result,
    }
}

fn count_by_runtime(placement: &Placement) -> Vec<(&'static str, u64)> {
    let members = placement
        .namespaces
        .iter()
        .flat_map(|namespace| &namespace.members);
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for container in members.chain(&placement.host_network) {
        *counts.entry(container.runtime.as_str()).or_default() += 1;
    }
    counts.into_iter().collect()
}
