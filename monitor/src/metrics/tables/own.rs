//! What the exporter says of itself.

use super::Metric;

const SELF: &str = "the exporter";

/// Which build this is.
pub const BUILD_INFO: Metric = Metric::gauge(
    "container_monitor_build_info",
    "Always 1: the exporter's version, its source revision and the eBPF object it carries",
    &["version", "revision", "ebpf_object"],
    SELF,
);

/// Whether a collector worked.
pub const COLLECTOR_SUCCESS: Metric = Metric::gauge(
    "container_monitor_collector_success",
    "Whether the collector worked at this collection: 1 for yes, 0 for no",
    &["collector"],
    SELF,
);

/// How long a collector took.
pub const COLLECTOR_DURATION: Metric = Metric::gauge(
    "container_monitor_collector_duration_seconds",
    "Time the collector took at this collection, summed over the namespaces it read",
    &["collector"],
    SELF,
);

/// Known containers.
pub const CONTAINERS: Metric = Metric::gauge(
    "container_monitor_containers",
    "Running containers that discovery knows of",
    &["runtime"],
    SELF,
);

/// Containers that are not published.
pub const CONTAINERS_DROPPED: Metric = Metric::gauge(
    "container_monitor_containers_dropped",
    "Running containers that are not published: excluded by a selector, too young, or over --limit.containers",
    &["reason"],
    SELF,
);

/// Network namespaces read.
pub const NETWORK_NAMESPACES: Metric = Metric::gauge(
    "container_monitor_network_namespaces",
    "Network namespaces that this collection read, each once however many containers share it",
    &[],
    SELF,
);

/// Whether a runtime answers.
pub const DISCOVERY_UP: Metric = Metric::gauge(
    "container_monitor_discovery_up",
    "Whether the runtime answers and its list of containers is complete: 1 for yes, 0 for no",
    &["runtime"],
    SELF,
);

/// Events of a runtime.
pub const DISCOVERY_EVENTS: Metric = Metric::counter(
    "container_monitor_discovery_events_total",
    "Events of the runtime that were handled",
    &["runtime"],
    SELF,
);

/// Samples that failed.
pub const SAMPLE_ERRORS: Metric = Metric::counter(
    "container_monitor_sample_errors_total",
    "Reads of one namespace or container that failed, so that its series are missing from that collection",
    &["collector"],
    SELF,
);

/// Series written.
pub const SERIES: Metric = Metric::gauge(
    "container_monitor_series",
    "Series of this collection, without those that the exporter publishes of itself",
    &[],
    SELF,
);

/// Series left out.
pub const SERIES_DROPPED: Metric = Metric::counter(
    "container_monitor_series_dropped_total",
    "Series left out: over --limit.series, of a container with too many mounts, or because another network namespace has the same name, as while a pod's sandbox is being replaced",
    &[],
    SELF,
);

/// Collections made.
pub const COLLECTIONS: Metric = Metric::counter(
    "container_monitor_collections_total",
    "Collections made; scrapes that come at the same time share one",
    &[],
    SELF,
);

/// How long a collection took.
pub const COLLECTION_DURATION: Metric = Metric::gauge(
    "container_monitor_collection_duration_seconds",
    "Time from the start of this collection until all its values were there",
    &[],
    SELF,
);

/// Whether an eBPF program is attached.
pub const EBPF_ATTACHED: Metric = Metric::gauge(
    "container_monitor_ebpf_attached",
    "Whether the eBPF program is attached: 1 for yes, 0 for no",
    &["program"],
    SELF,
);

/// Events counted by the eBPF program.
pub const EBPF_EVENTS: Metric = Metric::counter(
    "container_monitor_ebpf_events_total",
    "TCP state changes that the eBPF program counted, those of containers that ended too",
    &[],
    "eBPF map",
);

/// Events the kernel did not give to the program.
pub const EBPF_MISSED_EVENTS: Metric = Metric::counter(
    "container_monitor_ebpf_missed_events_total",
    "Events for which the kernel did not run the eBPF program, because it was already running on that CPU",
    &[],
    "bpf_prog_info.recursion_misses",
);

/// Entries of the eBPF map.
pub const EBPF_MAP_ENTRIES: Metric = Metric::gauge(
    "container_monitor_ebpf_map_entries",
    "Pairs of network namespace and cgroup that the eBPF map holds counters for",
    &[],
    "eBPF map",
);

/// Events lost to a full map.
pub const EBPF_MAP_FULL: Metric = Metric::counter(
    "container_monitor_ebpf_map_full_total",
    "Events that were not counted because the eBPF map was full",
    &[],
    "eBPF map",
);

/// Events between states that no counter is for.
pub const EBPF_UNLISTED: Metric = Metric::counter(
    "container_monitor_ebpf_unlisted_transitions_total",
    "Events between two TCP states that this version does not know to follow each other; \
     counted here alone",
    &[],
    "eBPF map",
);

/// Where the sockets' states come from.
pub const TCP_STATES_SOURCE: Metric = Metric::gauge(
    "container_monitor_tcp_states_source",
    "Where the sockets' states come from: 1 for the source in use, 0 for the others",
    &["source"],
    SELF,
);

/// How far the sockets' states are from what the files say.
pub const TCP_MISMATCH: Metric = Metric::gauge(
    "container_monitor_tcp_mismatch_sockets",
    "By how many sockets the states disagree with CurrEstab of snmp and inuse of sockstat, summed over network namespaces; a few come from movement under load",
    &[],
    SELF,
);

/// Age of the sockets' states.
pub const TCP_STATES_AGE: Metric = Metric::gauge(
    "container_monitor_tcp_states_age_seconds",
    "Time since the look that the sockets' states come from was begun; scrapes share one, and expensive ones are made less often",
    &[],
    SELF,
);

/// What a look costs.
pub const TCP_STATES_DURATION: Metric = Metric::gauge(
    "container_monitor_tcp_states_duration_seconds",
    "Kernel time of the last look at the sockets",
    &[],
    SELF,
);

/// How long a look holds a CPU.
pub const TCP_STATES_SLICE: Metric = Metric::gauge(
    "container_monitor_tcp_states_longest_slice_seconds",
    "The longest time for which the last pass over the socket tables held a CPU",
    &[],
    SELF,
);

/// Sockets seen.
pub const TCP_STATES_SOCKETS: Metric = Metric::gauge(
    "container_monitor_tcp_states_sockets",
    "TCP sockets that the last look saw, those of no container too",
    &[],
    SELF,
);

/// Sockets whose cgroup found no room.
pub const TCP_STATES_FOLDED: Metric = Metric::gauge(
    "container_monitor_tcp_states_folded_sockets",
    "TCP sockets of the last look that stand under the owner of their namespace because more than 4096 pairs of namespace and cgroup have sockets, and listeners beyond 8192 ports, whose accept queue is missing",
    &[],
    SELF,
);

/// Looks made.
pub const TCP_STATES_LOOKS: Metric = Metric::counter(
    "container_monitor_tcp_states_looks_total",
    "Looks at the sockets",
    &[],
    SELF,
);

/// Where the namespaces' counters come from.
pub const COUNTERS_SOURCE: Metric = Metric::gauge(
    "container_monitor_counters_source",
    "Where the counters of snmp, snmp6 and netstat come from, the kernel's own or the files of /proc: 1 for the source in use, 0 for the other",
    &["source"],
    SELF,
);

/// All namespaces.
pub const HOST_NETWORK_NAMESPACES: Metric = Metric::gauge(
    "container_monitor_host_network_namespaces",
    "Network namespaces that the kernel has, those without a process too",
    &[],
    "net->list of the kernel",
);

/// How much was scanned.
pub const LAYER_INODES: Metric = Metric::counter(
    "container_monitor_writable_layer_inodes_total",
    "Inodes of writable layers that the background scans looked at",
    &[],
    "the scanner of writable layers",
);

/// Samples that open-falcon's receiver took.
pub const FALCON_SENT: Metric = Metric::counter(
    "container_monitor_falcon_sent_total",
    "Samples pushed by --falcon.url that the receiver took",
    &[],
    SELF,
);

/// Samples that open-falcon's receiver did not get.
pub const FALCON_DROPPED: Metric = Metric::counter(
    "container_monitor_falcon_dropped_total",
    "Samples of the push by --falcon.url that were given up: refused by the receiver, pushed out of the full queue by newer ones, or not to be expressed there",
    &[],
    SELF,
);

/// Requests to open-falcon's receiver that failed.
pub const FALCON_ERRORS: Metric = Metric::counter(
    "container_monitor_falcon_errors_total",
    "Requests of the push by --falcon.url that failed; most are made again",
    &[],
    SELF,
);

/// Samples that OTLP's receiver took.
pub const OTLP_SENT: Metric = Metric::counter(
    "container_monitor_otlp_sent_total",
    "Samples pushed by --otlp.endpoint that the receiver took",
    &[],
    SELF,
);

/// Samples that OTLP's receiver did not get.
pub const OTLP_DROPPED: Metric = Metric::counter(
    "container_monitor_otlp_dropped_total",
    "Samples of the push by --otlp.endpoint that were given up: refused by the receiver, pushed out of the full queue by newer ones, or not to be expressed there",
    &[],
    SELF,
);

/// Requests to OTLP's receiver that failed.
pub const OTLP_ERRORS: Metric = Metric::counter(
    "container_monitor_otlp_errors_total",
    "Requests of the push by --otlp.endpoint that failed; most are made again",
    &[],
    SELF,
);

/// All of them.
pub const METRICS: &[Metric] = &[
    BUILD_INFO,
    COLLECTOR_SUCCESS,
    COLLECTOR_DURATION,
    CONTAINERS,
    CONTAINERS_DROPPED,
    NETWORK_NAMESPACES,
    DISCOVERY_UP,
    DISCOVERY_EVENTS,
    SAMPLE_ERRORS,
    SERIES,
    SERIES_DROPPED,
    COLLECTIONS,
    COLLECTION_DURATION,
    EBPF_ATTACHED,
    EBPF_EVENTS,
    EBPF_MISSED_EVENTS,
    EBPF_MAP_ENTRIES,
    EBPF_MAP_FULL,
    EBPF_UNLISTED,
    TCP_STATES_SOURCE,
    TCP_MISMATCH,
    TCP_STATES_AGE,
    TCP_STATES_DURATION,
    TCP_STATES_SLICE,
    TCP_STATES_SOCKETS,
    TCP_STATES_FOLDED,
    TCP_STATES_LOOKS,
    COUNTERS_SOURCE,
    LAYER_INODES,
    HOST_NETWORK_NAMESPACES,
    FALCON_SENT,
    FALCON_DROPPED,
    FALCON_ERRORS,
    OTLP_SENT,
    OTLP_DROPPED,
    OTLP_ERRORS,
];
