//! Tests of the parent module.

use super::*;
use crate::metrics::openmetrics;
use crate::metrics::own::{BuildInfo, CollectorStatus, OwnMetrics, OwnStatus};
use crate::metrics::tables::own;

const COLLECTORS: [&str; 11] = [
    "sockstat",
    "sockstat6",
    "snmp",
    "snmp6",
    "netstat",
    "transitions",
    "filesystem",
    "writable-layer",
    "disk-io",
    "cadvisor",
    "tcp-states",
];

fn owners() -> Owners {
    Owners::new(&Schema::new(), COLLECTORS)
}

fn only(names: &[&'static str]) -> Selection {
    Selection::Only(names.iter().copied().collect())
}

const TEXT: &str = "\
# HELP container_network_sockets_used u
# TYPE container_network_sockets_used gauge
container_network_sockets_used{pod=\"a\"} 1
# HELP container_network_sockets_inuse i \"quoted\"
# TYPE container_network_sockets_inuse gauge
container_network_sockets_inuse{pod=\"a\",protocol=\"tcp\"} 2
container_network_sockets_inuse{pod=\"a\",protocol=\"tcp6\"} 3
container_network_sockets_inuse{pod=\"b\",protocol=\"tcp\"} 4
# HELP container_network_tcp_in_segs_total s
# TYPE container_network_tcp_in_segs_total counter
container_network_tcp_in_segs_total{pod=\"a\"} 5
# HELP container_network_fragment_memory_bytes m
# TYPE container_network_fragment_memory_bytes gauge
container_network_fragment_memory_bytes{pod=\"a\",protocol=\"ip6\"} 6
# HELP odd no total
# TYPE odd counter
odd 7
# HELP container_monitor_collector_success c
# TYPE container_monitor_collector_success gauge
container_monitor_collector_success{collector=\"sockstat\"} 1
container_monitor_collector_success{collector=\"snmp\"} 0
container_monitor_collector_success{collector=\"counters\"} 1
";

fn samples(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap().1.to_owned())
        .collect()
}

#[test]
fn every_family_of_the_tables_has_an_owner() {
    let owners = owners();
    let named = namespace::METRICS.iter().map(|metric| metric.name);
    let files = [
        filesystem::METRICS,
        filesystem::LAYER,
        disk::METRICS,
        cadvisor::METRICS,
    ];
    let others = container::METRICS.iter().chain(host::METRICS);
    let others = others.chain(files.into_iter().flatten());
    for name in named.chain(others.map(|metric| metric.name)) {
        assert!(owners.families.contains_key(name), "{name}");
    }
    for metric in own::METRICS {
        assert!(
            !owners.families.contains_key(metric.name),
            "{}",
            metric.name
        );
    }
    // And every owner can be asked for.
    for (family, owner) in &owners.families {
        let names = match owner {
            Owner::Collector(name) => vec![*name],
            Owner::ByLabel(_, values) => values.values().copied().collect(),
        };
        for name in names {
            assert_eq!(owners.collector(name), Ok(name), "{family}");
        }
    }
}

#[test]
fn of_a_family_of_two_files_each_has_its_own_series() {
    let (owners, exposition) = (owners(), Exposition::new(TEXT.to_owned()));
    for (selection, expected) in [
        (
            Selection::All,
            vec!["1", "2", "3", "4", "5", "6", "7", "1", "0", "1"],
        ),
        (only(&["sockstat"]), vec!["1", "2", "4", "7", "1", "1"]),
        (only(&["sockstat6"]), vec!["3", "6", "7", "1"]),
        (only(&["snmp"]), vec!["5", "7", "0", "1"]),
        (only(&[]), vec!["7", "1"]),
    ] {
        let text = owners.text(&exposition, &selection);
        assert_eq!(samples(&text), expected, "{selection:?}");
        // What is left has the shape of an exposition, without empty families.
        let left = Exposition::new(text.clone());
        assert!(left.families().all(|family| family.samples().count() > 0));
        assert_eq!(
            left.families().map(|f| f.samples().count()).sum::<usize>(),
            expected.len()
        );
        let open = openmetrics::write(&exposition, &selection, &owners);
        assert_eq!(samples(&open), expected, "{selection:?}");
    }
    assert_eq!(owners.text(&exposition, &Selection::All), TEXT);
}

#[test]
fn openmetrics_names_families_and_units_as_it_wants_them() {
    let exposition = Exposition::new(TEXT.to_owned());
    let text = openmetrics::write(
        &exposition,
        &only(&["sockstat", "sockstat6", "snmp"]),
        &owners(),
    );
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(
        heads,
        [
            "# TYPE container_network_sockets_used gauge",
            "# HELP container_network_sockets_used u",
            "# TYPE container_network_sockets_inuse gauge",
            "# HELP container_network_sockets_inuse i \\\"quoted\\\"",
            "# TYPE container_network_tcp_in_segs counter",
            "# HELP container_network_tcp_in_segs s",
            "# TYPE container_network_fragment_memory_bytes gauge",
            "# UNIT container_network_fragment_memory_bytes bytes",
            "# HELP container_network_fragment_memory_bytes m",
            "# TYPE odd unknown",
            "# HELP odd no total",
            "# TYPE container_monitor_collector_success gauge",
            "# HELP container_monitor_collector_success c",
            "# EOF",
        ]
    );
    assert!(text.contains("\ncontainer_network_tcp_in_segs_total{pod=\"a\"} 5\n"));
    assert!(text.ends_with("\n# EOF\n"));
}

#[test]
fn the_exporters_own_series_are_told_apart_by_collector() {
    let status = |name| CollectorStatus {
        name,
        success: true,
        duration: std::time::Duration::ZERO,
        errors: 0,
    };
    let status = OwnStatus {
        collectors: ["snmp", "netstat", "discovery"].map(status).to_vec(),
        ..OwnStatus::default()
    };
    let mut text = String::new();
    let own = OwnMetrics::new(BuildInfo::default()).unwrap();
    own.render(&status, &mut text).unwrap();
    let owners = owners();
    let text = owners.text(&Exposition::new(text), &only(&["snmp"]));
    let found = Exposition::new(text);
    let success = found.family("container_monitor_collector_success").unwrap();
    let names: Vec<_> = success
        .samples()
        .map(|s| s.label("collector").into_owned())
        .collect();
    assert_eq!(names, ["snmp"]);
    assert!(found.family("process_cpu_seconds_total").is_some());
}
