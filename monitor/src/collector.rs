//! One collection, from the containers to the text: the only thing that is done for a scrape.
//!
//! It blocks on `/proc` and on the kernel, so it runs on a thread of its own, never on the one
//! that serves HTTP.

mod cadvisor;
mod files;
mod host;
mod parts;
mod progress;
mod report;
mod targets;
mod transitions;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Instant, SystemTime};

use tracing::warn;

use self::cadvisor::CadvisorSample;
pub use self::cadvisor::{CADVISOR, Cadvisor};
pub use self::files::{DISK_IO, FILESYSTEM, FileSamplers, WRITABLE_LAYER};
pub use self::parts::Parts;
pub use self::progress::Progress;
use self::report::Errors;
use self::targets::{host_target, in_place, targets};
pub use self::transitions::TRANSITIONS;
use crate::discovery::scan::ScanSource;
use crate::ebpf::Kernel;
use crate::metrics::Exposition;
use crate::metrics::own::OwnStatus;
use crate::netns::{Placement, Placer, visit};
use crate::procfs::Process;
use crate::sampler::counters::{CounterSampler, CountersError, CountersSource};
use crate::sampler::places::HostNamespace;
use crate::sampler::tcp_states::{Surroundings, TcpStatesSource};
use crate::snapshot::{Samples, Snapshot};

/// Name of the collector of TCP sockets by state.
pub const TCP_STATES: &str = "tcp-states";

/// Name under which finding and placing containers shows among the collectors.
const DISCOVERY: &str = "discovery";

/// Collects.
#[derive(Debug)]
pub struct Collector {
    parts: Parts,
    placer: Placer,
    host: HostNamespace,
    init: Arc<Process>,
    scan: ScanSource,
    counters: CounterSampler,
    errors: Errors,
    progress: Arc<Progress>,
    dropped: u64,
    was_limited: bool,
    collections: u64,
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
            progress: Arc::new(Progress::new(parts.own.clone())),
            parts,
            errors: Errors::default(),
            dropped: 0,
            was_limited: false,
            collections: 0,
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

    /// What the collection under way has found so far.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Collects once.
    pub fn collect(&mut self) -> Exposition {
        let start = Instant::now();
        let progress = self.progress();
        progress.begin(self.expected());
        let mut status = OwnStatus::default();
        let placement = self.place(&mut status);
        progress.publish(&status);
        let snapshot = self.sample(&placement, &mut status);
        let too_many = progress.shorten();
        if too_many > 0 && !std::mem::replace(&mut self.was_limited, true) {
            warn!(
                series = too_many,
                "more series than --limit.series allows, the youngest containers have none"
            );
        }
        status.series -= too_many;
        self.dropped += snapshot.dropped + too_many;
        self.collections += 1;
        status.series_dropped = self.dropped;
        status.collections = self.collections;
        status.collection_duration = start.elapsed();
        progress.end(status)
    }

    /// The collectors whose rows a whole collection has.
    fn expected(&self) -> Vec<&'static str> {
        let parts = &self.parts;
        let files = parts.files.iter().map(|file| file.name());
        let is_kernel = self.counters.source() == CountersSource::Kernel;
        let looks = parts.tcp_states.source() != TcpStatesSource::Off;
        let others = [
            (true, DISCOVERY),
            (is_kernel, report::COUNTERS),
            (parts.wants_transitions, TRANSITIONS),
            (looks, TCP_STATES),
            (parts.cadvisor.is_some(), CADVISOR),
        ];
        let others = others.into_iter().filter(|(is_on, _)| *is_on);
        let others = others.map(|(_, name)| name);
        let beside = parts.file_samplers.collectors();
        files.chain(others).chain(beside).collect()
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
        let mut placement = self.placer.place(&containers, |known| {
            if scans {
                self.scan.containers(procfs, self.host.inode, known, &ids)
            } else {
                Vec::new()
            }
        });
        let denied = if scans { self.scan.denied() } else { 0 };
        status.discovery = report::discovery(&sources, scans.then(|| self.scan.status()));
        status.containers = report::count_by_runtime(&placement);
        status.left_out = self.parts.limits.apply(&mut placement, unix_nanoseconds());
        let namespaces = placement.namespaces.iter();
        let read = namespaces.filter(|namespace| placement.shows_any(namespace));
        status.network_namespaces = read.count() as u64;
        // One container that fails is an error; discovery has failed when nothing is up.
        let success =
            status.discovery.is_empty() || status.discovery.iter().any(|source| source.up);
        let errors = placement.errors + denied;
        let row = self.errors.row(DISCOVERY, success, start.elapsed(), errors);
        status.collectors.push(row);
        placement
    }

    /// Samples everything, and writes the families of namespaces.
    ///
    /// The look at the sockets is made beside all the rest: it takes the longest, and nearly all
    /// of it in the kernel. It is compared with the counters of the pass before it and with files
    /// that are read meanwhile and after it; where there is no such pass, it has to wait for them.
    fn sample(&mut self, placement: &Placement, status: &mut OwnStatus) -> Snapshot {
        let Self {
            parts,
            progress,
            host,
            init,
            counters,
            errors,
            buffer,
            ..
        } = self;
        let Parts {
            tcp_states,
            passes,
            transitions,
            cgroups,
            procfs,
            schema,
            file_samplers,
            cadvisor,
            ..
        } = parts;
        let start = Instant::now();
        let targets = targets(placement, host_target(host, init));
        let is_wanted = |wanted: bool| targets.len() - usize::from(!wanted);
        let read = &targets[..is_wanted(parts.host_network)];
        let looked_at =
            &targets[..is_wanted(parts.host_network || !placement.host_network.is_empty())];

        let was_kernel = counters.source() == CountersSource::Kernel;
        let mut walk = counters.walk(passes.as_mut(), read);
        let pass = walk.pass.take();
        status.host_network_namespaces = pass.as_ref().map(|pass| pass.namespaces.len() as u64);
        let around = Surroundings {
            passes: passes.as_mut(),
            pass,
            targets: looked_at,
        };
        let (now, later) = match (tcp_states.is_due(start), walk.is_whole) {
            (false, _) => (None, None),
            (true, true) => (Some(around), None),
            (true, false) => (None, Some(around)),
        };
        let (mut snapshot, facts, looked, compatible) = thread::scope(|scope| {
            let asking = scope.spawn(|| file_samplers.sample(placement));
            let looking = now.map(|around| scope.spawn(|| tcp_states.look(around)));
            let samples = counters.read(walk, read);
            report::counters(&samples, read.len() as u64, was_kernel, errors, status);
            let mut found = samples.namespaces.counters;
            let mut compatible = cadvisor
                .as_mut()
                .map(|cadvisor| cadvisor.sample(placement, read, &found));
            let facts: Vec<_> = found
                .iter()
                .map(|counters| counters.as_ref().map(|counters| parts.facts.of(counters)))
                .collect();
            let host_namespace = if parts.host_network {
                found.pop().flatten()
            } else {
                None
            };
            let transitions = if parts.wants_transitions {
                transitions::sample(transitions, placement, *host, cgroups, errors, status)
            } else {
                None
            };
            let mut snapshot = Snapshot::merge(Samples {
                placement,
                namespaces: in_place(placement, found),
                host_namespace,
                transitions,
                host: host::sample(procfs, init, buffer),
                pod_labels: &parts.pod_labels,
            });
            if let Some(limit) = parts.limits.series {
                let compatible = compatible.iter().flat_map(CadvisorSample::owners);
                progress.limit(limit, snapshot.ages(placement, compatible));
            }
            status.series = progress.write(|out| {
                snapshot.render_namespaces(schema, out) + snapshot.render_containers(out)
            });
            progress.publish(status);
            let files = join(asking);
            if let Some(sample) = &mut compatible {
                sample.add_files(&files);
            }
            files.add_to(&mut snapshot, errors, status);
            status.series += progress.write(|out| snapshot.render_files(out));
            progress.publish(status);
            (snapshot, facts, looking.map(join), compatible)
        });
        let looked = looked.or_else(|| later.map(|around| tcp_states.look(around)));
        report::counters_source(counters.source(), status);
        if tcp_states.source() != TcpStatesSource::Off {
            if matches!(looked, Some(Ok(()))) {
                tcp_states.compare(looked_at, &facts);
            }
            report::look(tcp_states, looked, start, errors, status);
        }
        report::tcp_states(tcp_states, status);
        if let Some(sample) = tcp_states.sample(placement, *host, cgroups, start) {
            snapshot.add_sockets(placement, sample, parts.host_network);
        }
        status.series += progress.write(|out| snapshot.render_sockets(out));
        if let Some((cadvisor, mut sample)) = cadvisor.as_ref().zip(compatible) {
            if let Some(states) = tcp_states.namespaces(placement, *host) {
                sample.add_tcp(&states);
            }
            // One namespace that fails is an error; the collector has failed when all do.
            let (failed, took) = (sample.errors, sample.duration);
            let success = failed == 0 || failed < sample.len() as u64;
            let row = errors.row(CADVISOR, success, took, failed);
            status.collectors.push(row);
            status.series += progress.write(|out| cadvisor.render(sample, out));
        }
        snapshot
    }
}

/// What a thread gave; a panic goes on in this one.
fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The time of now, in nanoseconds since the Unix epoch.
fn unix_nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos().try_into().unwrap_or(u64::MAX))
}
