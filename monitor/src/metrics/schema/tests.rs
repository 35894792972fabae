//! Tests of the parent module.

use std::collections::HashSet;

use regex_lite::Regex;

use super::{HostFiles, Schema};
use crate::metrics::tables::{CounterFile, Kind};
use crate::procfs::captures::{ALL, Capture};

fn with_more(pattern: &str, capture: &Capture) -> Schema {
    let host = HostFiles {
        snmp: capture.snmp,
        snmp6: capture.snmp6,
        netstat: capture.netstat,
    };
    Schema::with_more(&Regex::new(pattern).unwrap(), &host).unwrap()
}

#[test]
fn every_family_has_a_name_of_its_own_and_every_slot_a_source_of_its_own() {
    for capture in ALL {
        let schema = with_more(".*", &capture);
        let names: HashSet<&str> = schema.names().collect();
        assert_eq!(names.len(), schema.names().count(), "{}", capture.kernel);
        assert_eq!(schema.by_source.len(), schema.slots().len());
        for (slot, source) in schema.slots().iter().enumerate() {
            assert_eq!(
                schema.slot(source.file, &source.group, &source.field),
                Some(slot)
            );
        }
    }
}

#[test]
fn every_field_of_a_kernel_is_published_when_all_are_asked_for() {
    for capture in ALL {
        let schema = with_more(".*", &capture);
        for file in [CounterFile::Snmp, CounterFile::Netstat, CounterFile::Snmp6] {
            let missing = |group: &[u8], field: &[u8], _| {
                let (group, field) = (str::from_utf8(group), str::from_utf8(field));
                let slot = schema.slot(file, group.unwrap(), field.unwrap());
                assert!(slot.is_some(), "{} {group:?} {field:?}", capture.kernel);
            };
            match file {
                CounterFile::Snmp => crate::procfs::mib::parse(capture.snmp, missing),
                CounterFile::Netstat => crate::procfs::mib::parse(capture.netstat, missing),
                _ => crate::procfs::snmp6::parse(capture.snmp6, missing),
            }
            .unwrap();
        }
    }
}

#[test]
fn the_pattern_chooses_among_what_is_not_published_yet() {
    let capture = &ALL[3];
    let plain: Vec<String> = Schema::new().names().map(str::to_owned).collect();
    let added = |pattern: &str| {
        let schema = with_more(pattern, capture);
        let names: Vec<String> = schema.names().map(str::to_owned).collect();
        assert_eq!(names[..plain.len()], plain);
        names[plain.len()..].to_vec()
    };
    assert!(added("^$").is_empty());
    assert!(added("^TcpExt_ListenDrops$").is_empty());
    assert_eq!(
        added("^(TcpExt_TCPFastOpenActive|IpExt_InOctets|Udp6_InCsumErrors|Tcp_RtoMin)$"),
        [
            "container_network_tcp_rto_min",
            "container_network_udp6_in_csum_errors_total",
            "container_network_tcpext_fast_open_active_total",
            "container_network_ipext_in_octets_total",
        ]
    );
}

#[test]
fn a_host_without_ipv6_and_a_file_that_is_none() {
    let all = Regex::new("").unwrap();
    let mut host = HostFiles {
        snmp: ALL[0].snmp,
        ..HostFiles::default()
    };
    assert!(Schema::with_more(&all, &host).is_ok());
    host.netstat = b"TcpExt: A\n";
    assert!(Schema::with_more(&all, &host).is_err());
    // A field that cannot be a metric's name is not published, and breaks nothing.
    host.netstat = b"TcpExt: A-b \xff A_B\nTcpExt: 1 2 3\n";
    let schema = Schema::with_more(&all, &host).unwrap();
    assert!(
        !schema
            .slots()
            .iter()
            .any(|s| s.group == "TcpExt" && s.field.starts_with("A"))
    );
}

#[test]
fn of_two_fields_with_one_name_the_first_is_published() {
    let host = HostFiles {
        netstat: b"TcpExt: TCPNew New TCPListenDrops\nTcpExt: 1 2 3\n",
        ..HostFiles::default()
    };
    let schema = Schema::with_more(&Regex::new("").unwrap(), &host).unwrap();
    let slot = |field| schema.slot(CounterFile::Netstat, "TcpExt", field);
    assert!(slot("TCPNew").is_some());
    assert_eq!(slot("New"), None);
    assert_eq!(slot("TCPListenDrops"), None);
}

#[test]
fn counters_alone_end_in_total() {
    let schema = with_more(".*", &ALL[4]);
    for family in &schema.families {
        let kinds: HashSet<&str> = family
            .series
            .iter()
            .map(|(slot, _)| schema.slots()[*slot].kind.as_str())
            .collect();
        assert_eq!(kinds.len(), 1);
        assert_eq!(
            kinds.contains(Kind::Counter.as_str()),
            family.name.ends_with("_total"),
            "{}",
            family.name
        );
    }
}
