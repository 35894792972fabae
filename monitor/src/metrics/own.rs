//! The exporter's own metrics and those of its process, through the `prometheus` crate.
//!
//! The totals are kept by those who count them; here they are only put into families, anew each
//! time, so that a runtime or collector that is gone leaves no row behind.

use std::time::Duration;

use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric as Sample, MetricFamily, MetricType};
use prometheus::{Registry, TextEncoder};
use rustix::time::{ClockId, clock_gettime};

use super::tables::own as table;
use super::tables::{Kind, Metric};
use crate::limits::LeftOut;
use crate::push::counts::Counts;

/// The `program` label of the eBPF program that counts state changes.
pub const STATE_PROGRAM: &str = "inet_sock_set_state";

/// Which build this is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInfo {
    /// Version of the package.
    pub version: String,
    /// Revision of its sources; empty when not known.
    pub revision: String,
    /// What identifies the eBPF object it carries.
    pub ebpf_object: String,
}

/// A collector at this collection.
#[derive(Clone, Copy, Debug)]
pub struct CollectorStatus {
    /// The `collector` label.
    pub name: &'static str,
    /// Whether it worked.
    pub success: bool,
    /// How long it took.
    pub duration: Duration,
    /// Samples of it that failed since start.
    pub errors: u64,
}

/// A runtime as discovery sees it.
#[derive(Clone, Copy, Debug)]
pub struct DiscoveryStatus {
    /// The `runtime` label.
    pub runtime: &'static str,
    /// Whether it answers and its list is complete.
    pub up: bool,
    /// Events handled since start.
    pub events: u64,
}

/// What the eBPF side counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct EbpfStatus {
    /// Events counted since start; `None` where the map could not be read.
    pub events: Option<u64>,
    /// Events that the kernel did not give to the program.
    pub missed_events: Option<u64>,
    /// Entries of the map.
    pub map_entries: Option<u64>,
    /// Events that were not counted because the map was full.
    pub map_full: Option<u64>,
    /// Events between two states that no counter is for.
    pub unlisted: Option<u64>,
}

/// What is known of the last look at the sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpLookStatus {
    /// Disagreement with the files, in sockets; `None` where there was nothing to compare.
    pub mismatch: Option<u64>,
    /// Time since it was begun.
    pub age: Duration,
    /// Kernel time.
    pub duration: Duration,
    /// The longest slice of it; `None` where it is not made in slices.
    pub longest_slice: Option<Duration>,
    /// Sockets seen.
    pub sockets: u64,
    /// Those of them whose cgroup found no room.
    pub folded: u64,
}

/// A source, and whether it is the one in use.
pub type InUse = (&'static str, bool);

/// What the exporter says of itself at one collection.
#[derive(Clone, Debug, Default)]
pub struct OwnStatus {
    /// Each collector that is switched on.
    pub collectors: Vec<CollectorStatus>,
    /// Known containers, by runtime.
    pub containers: Vec<(&'static str, u64)>,
    /// Containers that are not published.
    pub left_out: LeftOut,
    /// Network namespaces read.
    pub network_namespaces: u64,
    /// Each runtime that is watched.
    pub discovery: Vec<DiscoveryStatus>,
    /// Series written of namespaces, containers and the host.
    pub series: u64,
    /// Series left out since start.
    pub series_dropped: u64,
    /// Collections since start.
    pub collections: u64,
    /// How long this one took.
    pub collection_duration: Duration,
    /// `None` when eBPF is off or could not be had.
    pub ebpf: Option<EbpfStatus>,
    /// Where the sockets' states can come from.
    pub tcp_states_sources: Vec<InUse>,
    /// The last look at the sockets, if there was one.
    pub tcp_look: Option<TcpLookStatus>,
    /// Looks since start.
    pub tcp_looks: Option<u64>,
    /// Where the namespaces' counters can come from.
    pub counters_sources: Vec<InUse>,
    /// Entries of writable layers looked at since start.
    pub layer_inodes: Option<u64>,
    /// Network namespaces of the kernel, where they are listed.
    pub host_network_namespaces: Option<u64>,
}

/// Writes the exporter's own metrics.
#[derive(Clone, Debug)]
pub struct OwnMetrics {
    registry: Registry,
    build: BuildInfo,
    pushes: Vec<Counts>,
}

impl OwnMetrics {
    /// Metrics of this build and this process.
    ///
    /// # Errors
    /// The process metrics cannot be registered.
    pub fn new(build: BuildInfo) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            registry,
            build,
            pushes: Vec::new(),
        })
    }

    /// With the totals of pushes.
    #[must_use]
    pub fn with_pushes(mut self, pushes: impl IntoIterator<Item = Counts>) -> Self {
        self.pushes.extend(pushes);
        self
    }

    /// Appends the text format of `status` and of the process to `out`.
    ///
    /// # Errors
    /// A family is not well-formed, which the tables rule out.
    pub fn render(&self, status: &OwnStatus, out: &mut String) -> prometheus::Result<()> {
        let mut families = self.families(status);
        families.extend(self.pushes.iter().flat_map(Counts::families));
        families.extend(self.registry.gather());
        precise_cpu_time(&mut families);
        families.retain(|family| !family.get_metric().is_empty());
        TextEncoder::new().encode_utf8(&families, out)
    }

    fn families(&self, status: &OwnStatus) -> Vec<MetricFamily> {
        let build = &self.build;
        let collectors = &status.collectors;
        let discovery = &status.discovery;
        let ebpf = status.ebpf.unwrap_or_default();
        let by_collector = |value: fn(&CollectorStatus) -> f64| {
            collectors.iter().map(move |c| (vec![c.name], value(c)))
        };
        let by_runtime = |value: fn(&DiscoveryStatus) -> f64| {
            discovery.iter().map(move |d| (vec![d.runtime], value(d)))
        };
        let one = |value: u64| [(vec![], value as f64)];
        let some = |value: Option<u64>| value.map(|value| (vec![], value as f64));
        let seconds = |time: Option<Duration>| time.map(|time| (vec![], time.as_secs_f64()));
        let look = status.tcp_look;
        vec![
            family(
                &table::BUILD_INFO,
                [(
                    vec![&*build.version, &*build.revision, &*build.ebpf_object],
                    1.0,
                )],
            ),
            family(
                &table::COLLECTOR_SUCCESS,
                by_collector(|c| f64::from(c.success)),
            ),
            family(
                &table::COLLECTOR_DURATION,
                by_collector(|c| c.duration.as_secs_f64()),
            ),
            family(
                &table::CONTAINERS,
                status.containers.iter().map(|(r, n)| (vec![*r], *n as f64)),
            ),
            family(&table::CONTAINERS_DROPPED, left_out(status.left_out)),
            family(&table::NETWORK_NAMESPACES, one(status.network_namespaces)),
            family(&table::DISCOVERY_UP, by_runtime(|d| f64::from(d.up))),
            family(&table::DISCOVERY_EVENTS, by_runtime(|d| d.events as f64)),
            family(&table::SAMPLE_ERRORS, by_collector(|c| c.errors as f64)),
            family(&table::SERIES, one(status.series)),
            family(&table::SERIES_DROPPED, one(status.series_dropped)),
            family(&table::COLLECTIONS, one(status.collections)),
            family(
                &table::COLLECTION_DURATION,
                [(vec![], status.collection_duration.as_secs_f64())],
            ),
            family(
                &table::EBPF_ATTACHED,
                [(vec![STATE_PROGRAM], f64::from(status.ebpf.is_some()))],
            ),
            family(&table::EBPF_EVENTS, some(ebpf.events)),
            family(&table::EBPF_MISSED_EVENTS, some(ebpf.missed_events)),
            family(&table::EBPF_MAP_ENTRIES, some(ebpf.map_entries)),
            family(&table::EBPF_MAP_FULL, some(ebpf.map_full)),
            family(&table::EBPF_UNLISTED, some(ebpf.unlisted)),
            family(
                &table::TCP_STATES_SOURCE,
                in_use(&status.tcp_states_sources),
            ),
            family(
                &table::TCP_MISMATCH,
                some(look.and_then(|look| look.mismatch)),
            ),
            family(&table::TCP_STATES_AGE, seconds(look.map(|look| look.age))),
            family(
                &table::TCP_STATES_DURATION,
                seconds(look.map(|look| look.duration)),
            ),
            family(
                &table::TCP_STATES_SLICE,
                seconds(look.and_then(|look| look.longest_slice)),
            ),
            family(
                &table::TCP_STATES_SOCKETS,
                some(look.map(|look| look.sockets)),
            ),
            family(
                &table::TCP_STATES_FOLDED,
                some(look.map(|look| look.folded)),
            ),
            family(&table::TCP_STATES_LOOKS, some(status.tcp_looks)),
            family(&table::COUNTERS_SOURCE, in_use(&status.counters_sources)),
            family(&table::LAYER_INODES, some(status.layer_inodes)),
            family(
                &table::HOST_NETWORK_NAMESPACES,
                some(status.host_network_namespaces),
            ),
        ]
    }
}

/// Containers that are not published, by the label `reason`.
fn left_out(left_out: LeftOut) -> [(Vec<&'static str>, f64); 3] {
    [
        ("excluded", left_out.excluded),
        ("too_young", left_out.too_young),
        ("limit", left_out.limit),
    ]
    .map(|(reason, count)| (vec![reason], count as f64))
}

fn in_use(sources: &[InUse]) -> impl Iterator<Item = (Vec<&str>, f64)> {
    sources
        .iter()
        .map(|(source, in_use)| (vec![*source], f64::from(*in_use)))
}

/// Puts the process's CPU time to the nanosecond into its family: the crate cuts it to whole
/// seconds, which an exporter that needs a few milliseconds a scrape would not see for minutes.
fn precise_cpu_time(families: &mut [MetricFamily]) {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    for family in families {
        if family.name() == "process_cpu_seconds_total"
            && let [sample] = family.mut_metric().as_mut_slice()
        {
            let mut counter = Counter::default();
            counter.set_value(seconds);
            sample.set_counter(counter);
        }
    }
}

/// A family of `metric` with the given rows: the values of its labels, and the number.
fn family<'a>(
    metric: &Metric,
    rows: impl IntoIterator<Item = (Vec<&'a str>, f64)>,
) -> MetricFamily {
    let samples: Vec<Sample> = rows
        .into_iter()
        .map(|(values, number)| sample(metric, &values, number))
        .collect();
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
    });
    family.set_metric(samples);
    family
}

fn sample(metric: &Metric, values: &[&str], number: f64) -> Sample {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let mut sample = Sample::default();
    sample.set_label(
        metric
            .labels
            .iter()
            .zip(values)
            .map(|(name, value)| {
                let mut label = LabelPair::default();
                label.set_name((*name).to_owned());
                label.set_value((*value).to_owned());
                label
            })
            .collect(),
    );
    match metric.kind {
        Kind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(number);
            sample.set_counter(counter);
        }
        Kind::Gauge => {
            let mut gauge = Gauge::default();
            gauge.set_value(number);
            sample.set_gauge(gauge);
        }
    }
    sample
}

#[cfg(test)]
mod tests;
