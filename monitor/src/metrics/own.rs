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
}

/// What the exporter says of itself at one collection.
#[derive(Clone, Debug, Default)]
pub struct OwnStatus {
    /// Each collector that is switched on.
    pub collectors: Vec<CollectorStatus>,
    /// Known containers, by runtime.
    pub containers: Vec<(&'static str, u64)>,
    /// Network namespaces read.
    pub network_namespaces: u64,
    /// Each runtime that is watched.
    pub discovery: Vec<DiscoveryStatus>,
    /// Series that [`render`](super::render) wrote.
    pub series: u64,
    /// Series left out since start.
    pub series_dropped: u64,
    /// Collections since start.
    pub collections: u64,
    /// How long this one took.
    pub collection_duration: Duration,
    /// `None` when eBPF is off or could not be had.
    pub ebpf: Option<EbpfStatus>,
}

/// Writes the exporter's own metrics.
#[derive(Debug)]
pub struct OwnMetrics {
    registry: Registry,
    build: BuildInfo,
}

impl OwnMetrics {
    /// Metrics of this build and this process.
    ///
    /// # Errors
    /// The process metrics cannot be registered.
    pub fn new(build: BuildInfo) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self { registry, build })
    }

    /// Appends the text format of `status` and of the process to `out`.
    ///
    /// # Errors
    /// A family is not well-formed, which the tables rule out.
    pub fn render(&self, status: &OwnStatus, out: &mut String) -> prometheus::Result<()> {
        let mut families = self.families(status);
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
        ]
    }
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
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::{BuildInfo, CollectorStatus, DiscoveryStatus, EbpfStatus, OwnMetrics, OwnStatus};
    use crate::metrics::tables::own::METRICS;

    fn own() -> OwnMetrics {
        OwnMetrics::new(BuildInfo {
            version: "1.2.3".to_owned(),
            revision: "abc".to_owned(),
            ebpf_object: "sha256:0123".to_owned(),
        })
        .unwrap()
    }

    fn full() -> OwnStatus {
        OwnStatus {
            collectors: vec![CollectorStatus {
                name: "sockstat",
                success: true,
                duration: Duration::from_micros(1500),
                errors: 3,
            }],
            containers: vec![("docker", 4), ("none", 1)],
            network_namespaces: 5,
            discovery: vec![DiscoveryStatus {
                runtime: "docker",
                up: false,
                events: 6,
            }],
            series: 7,
            series_dropped: 8,
            collections: 9,
            collection_duration: Duration::from_millis(20),
            ebpf: Some(EbpfStatus {
                events: Some(1 << 40),
                missed_events: Some(11),
                map_entries: Some(12),
                map_full: Some(13),
            }),
        }
    }

    fn render(status: &OwnStatus) -> String {
        let mut out = "before\n".to_owned();
        own().render(status, &mut out).unwrap();
        out.strip_prefix("before\n").unwrap().to_owned()
    }

    #[test]
    fn a_full_status_gives_every_metric_of_the_table_with_its_help_and_type() {
        let text = render(&full());
        for metric in METRICS {
            let header = format!(
                "# HELP {0} {1}\n# TYPE {0} {2}\n{0}",
                metric.name,
                metric.help,
                metric.kind.as_str()
            );
            assert!(text.contains(&header), "{header}\nis missing in\n{text}");
        }
        for line in [
            r#"container_monitor_build_info{version="1.2.3",revision="abc",ebpf_object="sha256:0123"} 1"#,
            r#"container_monitor_collector_success{collector="sockstat"} 1"#,
            r#"container_monitor_collector_duration_seconds{collector="sockstat"} 0.0015"#,
            r#"container_monitor_sample_errors_total{collector="sockstat"} 3"#,
            r#"container_monitor_containers{runtime="none"} 1"#,
            r#"container_monitor_discovery_up{runtime="docker"} 0"#,
            r#"container_monitor_discovery_events_total{runtime="docker"} 6"#,
            r#"container_monitor_ebpf_attached{program="inet_sock_set_state"} 1"#,
            "container_monitor_ebpf_events_total 1099511627776",
            "container_monitor_ebpf_map_full_total 13",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn without_ebpf_its_values_are_absent_but_for_attached() {
        let text = render(&OwnStatus {
            ebpf: None,
            ..full()
        });
        let lines: BTreeSet<&str> = text
            .lines()
            .filter(|line| line.starts_with("container_monitor_ebpf"))
            .collect();
        let only = r#"container_monitor_ebpf_attached{program="inet_sock_set_state"} 0"#;
        assert_eq!(lines, BTreeSet::from([only]));
        assert!(!text.contains("container_monitor_ebpf_events_total"));
    }

    #[test]
    fn a_runtime_that_is_gone_leaves_no_row() {
        let own = own();
        let mut out = String::new();
        own.render(&full(), &mut out).unwrap();
        assert!(out.contains("runtime=\"docker\""));
        out.clear();
        own.render(&OwnStatus::default(), &mut out).unwrap();
        assert!(!out.contains("runtime="), "{out}");
    }

    #[test]
    fn the_process_has_its_usual_metrics_and_a_precise_cpu_time() {
        let text = render(&OwnStatus::default());
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .unwrap_or_else(|| panic!("{name} is missing in\n{text}"))
                .parse::<f64>()
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_start_time_seconds") > 1.7e9);
        let seconds = value("process_cpu_seconds_total");
        assert!(seconds > 0.0 && seconds.fract() != 0.0, "{seconds}");
    }
}
