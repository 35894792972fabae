//! From captured files to the exposition: the golden text, and promtool's opinion of it.

use std::sync::Arc;

use monitor_ebpf::{Family, TcpState};
use regex_lite::Regex;
use testkit::prometheus::promtool_check_metrics;
use testkit::require;

use super::own::{BuildInfo, EbpfStatus, OwnMetrics, OwnStatus};
use super::{
    Collection, ContainerSockets, Counters, HostFiles, HostValues, Identity, Labels, NamespaceRow,
    Schema, SocketsRow, Tail, TransitionRow, render_containers, render_namespaces, tables,
};
use crate::disk::{DeviceLabels, Traffic};
use crate::filesystem::table::{SlowPlaces, listed};
use crate::filesystem::{MountSample, Rules, Usage};
use crate::layer::Scan;
use crate::layer::walk::Totals;
use crate::procfs::captures::V6_18;
use crate::tcp::StateCounts;
use crate::tcp::listeners::{Queue, Queues};

fn identity(namespace: &str, pod: &str, container: &str) -> Labels {
    Identity {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        container: container.to_owned(),
    }
    .labels()
}

/// Reads the capture's files; without IPv6 the two files of it are missing.
fn read(schema: &Schema, ipv6: bool) -> Counters {
    let mut counters = schema.counters();
    let texts = [
        V6_18.sockstat,
        V6_18.sockstat6,
        V6_18.snmp,
        V6_18.snmp6,
        V6_18.netstat,
    ];
    for (reader, text) in schema.readers().iter_mut().zip(texts) {
        if ipv6 || !reader.file().name().ends_with('6') {
            reader.read(text, &mut counters).unwrap();
        }
    }
    counters
}

/// Two network namespaces, one of a pod, one of a plain container with an odd name and no IPv6.
fn exposition(schema: &Schema) -> (String, u64) {
    let pod = identity("shop", "cart-0", "");
    let plain = identity("", "", "a\"b\\c\nd");
    let server = identity("shop", "cart-0", "server");
    let (first, second) = (read(schema, true), read(schema, false));
    let transition = |labels, old_state, new_state, count| TransitionRow {
        labels,
        old_state,
        new_state,
        count,
    };
    let info = |labels: &Labels, host_interface| {
        let values = [
            "0123456789ab",
            "registry/image:1",
            "docker",
            "4026532198",
            "bridge",
            "eth0",
            host_interface,
        ];
        let mut labels = labels.clone();
        for (name, value) in tables::container::INFO.labels.iter().zip(values) {
            labels.push(name, value);
        }
        labels
    };
    let mut host = HostValues::default();
    host.read_sockstat(V6_18.sockstat, 4096).unwrap();
    host.read_tcp_mem(b"46608\t62145\t93216\n", 4096).unwrap();
    let mut out = String::new();
    let rows = [
        NamespaceRow {
            labels: &pod,
            counters: &first,
        },
        NamespaceRow {
            labels: &plain,
            counters: &second,
        },
    ];
    let mut series = render_namespaces(schema, &rows, &mut out);
    series += render_containers(
        &Collection {
            transitions: &[
                transition(&server, "close", "syn_sent", 7),
                transition(&server, "syn_sent", "established", 6),
                transition(&server, "syn_sent", "close", 1),
                transition(&plain, "close", "syn_sent", 1),
            ],
            sockets: &[
                SocketsRow {
                    labels: &server,
                    sockets: &sockets(),
                    zeros: true,
                },
                SocketsRow {
                    labels: &pod,
                    sockets: &ContainerSockets {
                        states: sockets().states,
                        ..ContainerSockets::default()
                    },
                    zeros: false,
                },
            ],
            mounts: &[(server.clone(), mounts())],
            disks: &[(pod.clone(), vec![(device(), traffic())])],
            layers: &[(server.clone(), scan())],
            info: &[info(&server, "veth1"), info(&plain, "")],
            host,
        },
        &mut out,
    );
    (out, series)
}

/// Three sockets, a port of each family and one for all others.
fn sockets() -> ContainerSockets {
    let mut states = StateCounts::default();
    states.add(Family::Ipv4, TcpState::Established as u8);
    states.add(Family::Ipv4, TcpState::REQUEST);
    states.add(Family::Ipv6, TcpState::Listen as u8);
    let queue = |length| Queue { length, limit: 128 };
    ContainerSockets {
        states,
        queues: Queues::from([
            ((Some(80), Family::Ipv4), queue(3)),
            ((Some(443), Family::Ipv6), queue(0)),
            ((None, Family::Ipv4), queue(1)),
        ]),
    }
}

/// A disk, and a server that does not answer.
fn mounts() -> Vec<MountSample> {
    let text = b"1 0 8:1 / /data ro - ext4 /dev/sda1 rw\n\
        2 0 0:9 / /nfs\\040a\\042 rw - nfs4 server:/a rw\n";
    let (mounts, _) = listed(text, &Rules::default(), &SlowPlaces::default()).unwrap();
    let usage = Usage {
        size: 1 << 40,
        free: 4096,
        avail: 0,
        files: Some(10),
        files_free: Some(2),
    };
    let mounts = mounts.into_iter().zip([Some(usage), None]);
    mounts
        .map(|(mount, usage)| MountSample {
            mount: mount.into(),
            usage,
        })
        .collect()
}

fn scan() -> Scan {
    Scan {
        totals: Totals {
            bytes: 8192,
            files: 1,
        },
        timestamp: 1_800_000_000,
    }
}

fn device() -> Arc<DeviceLabels> {
    Arc::new(DeviceLabels {
        name: Tail::label("device", "sda"),
        file: Tail::label("device", "/dev/sda"),
    })
}

fn traffic() -> Traffic {
    Traffic {
        read_bytes: 4096,
        written_bytes: 0,
        reads: 1,
        writes: 0,
    }
}

#[test]
fn the_golden_exposition_of_two_containers() {
    let (text, series) = exposition(&Schema::new());
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(series, samples as u64);
    insta::assert_snapshot!(text);
}

#[test]
fn nothing_found_is_nothing_written() {
    let mut out = String::new();
    assert_eq!(render_namespaces(&Schema::new(), &[], &mut out), 0);
    assert_eq!(render_containers(&Collection::default(), &mut out), 0);
    assert_eq!(out, "");
}

#[test]
fn promtool_accepts_all_that_is_written() {
    testkit::require!(require::program("promtool"));
    let host = HostFiles {
        snmp: V6_18.snmp,
        snmp6: V6_18.snmp6,
        netstat: V6_18.netstat,
    };
    let everything = Schema::with_more(&Regex::new("").unwrap(), &host).unwrap();
    let (mut text, _) = exposition(&everything);
    let own = OwnMetrics::new(BuildInfo::default()).unwrap();
    let status = OwnStatus {
        ebpf: Some(EbpfStatus {
            events: Some(1),
            missed_events: Some(0),
            map_entries: Some(1),
            map_full: Some(0),
            unlisted: Some(0),
        }),
        containers: vec![("docker", 2)],
        ..OwnStatus::default()
    };
    own.render(&status, &mut text).unwrap();

    promtool_check_metrics(&text).unwrap();
}
