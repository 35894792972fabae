//! Tests of the parent module.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{
    BuildInfo, CollectorStatus, DiscoveryStatus, EbpfStatus, OwnMetrics, OwnStatus, TcpLookStatus,
};
use crate::limits::LeftOut;
use crate::metrics::tables::own::METRICS;
use crate::push::counts::Counts;

fn own() -> OwnMetrics {
    OwnMetrics::new(BuildInfo {
        version: "1.2.3".to_owned(),
        revision: "abc".to_owned(),
        ebpf_object: "sha256:0123".to_owned(),
    })
    .unwrap()
    .with_pushes([Counts::falcon().unwrap(), Counts::otlp().unwrap()])
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
        left_out: LeftOut {
            excluded: 23,
            too_young: 24,
            limit: 25,
        },
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
            unlisted: Some(14),
        }),
        tcp_states_sources: vec![("kernel", true), ("off", false)],
        tcp_look: Some(TcpLookStatus {
            mismatch: Some(15),
            age: Duration::from_millis(1600),
            duration: Duration::from_micros(1700),
            longest_slice: Some(Duration::from_micros(180)),
            sockets: 19,
            folded: 22,
        }),
        tcp_looks: Some(20),
        counters_sources: vec![("kernel", false), ("proc", true)],
        host_network_namespaces: Some(21),
        layer_inodes: Some(77),
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
        "container_monitor_ebpf_unlisted_transitions_total 14",
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
