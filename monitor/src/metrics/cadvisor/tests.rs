//! Names, types and label values are cAdvisor's, and nothing is made up.

use monitor_ebpf::{Family, TcpState};
use testkit::metrics::Metrics;

use super::{CadvisorFamilies, CadvisorFilesRow, CadvisorLabels, CadvisorRow};
use crate::disk::{DeviceLabels, Traffic};
use crate::filesystem::Usage;
use crate::metrics::tables::cadvisor::METRICS;
use crate::metrics::{CounterFile, Counters, FileReader, Schema, Tail};
use crate::procfs::Number;
use crate::tcp::StateCounts;
use crate::tcp::sock_diag::udp::UdpTable;

fn schema() -> Schema {
    let mut schema = Schema::new();
    schema.add_cadvisor();
    schema
}

fn labels(id: &str) -> CadvisorLabels {
    CadvisorLabels {
        id: id.to_owned(),
        name: "k8s_POD_web".to_owned(),
        image: "pause:3.10".to_owned(),
        namespace: "shop".to_owned(),
        pod: "web-0".to_owned(),
        container: "POD".to_owned(),
    }
}

fn render(schema: &Schema, rows: &[CadvisorRow]) -> Metrics {
    render_all(schema, rows, &[])
}

fn render_all(schema: &Schema, rows: &[CadvisorRow], files: &[CadvisorFilesRow]) -> Metrics {
    let mut text = String::new();
    let series = CadvisorFamilies::new(schema).render(rows, files, &mut text);
    let metrics = Metrics::parse(&text).unwrap();
    assert_eq!(metrics.samples.len() as u64, series);
    metrics
}

fn full(schema: &Schema, id: &str) -> CadvisorRow {
    let mut tcp = StateCounts::default();
    for _ in 0..3 {
        tcp.add(Family::Ipv4, TcpState::Established as u8);
    }
    tcp.add(Family::Ipv6, TcpState::REQUEST);
    tcp.add(Family::Ipv6, TcpState::FIN_WAIT2_MINISOCK);
    let mut counters = schema.counters();
    for slot in 0..schema.slots().len() {
        counters.set(slot, Some(Number::Unsigned(slot as u64)));
    }
    CadvisorRow {
        labels: labels(id).labels(),
        counters: Some(counters),
        tcp: Some(tcp),
        udp: Some(UdpTable::default()),
    }
}

fn full_files() -> CadvisorFilesRow {
    let device = DeviceLabels {
        name: Tail::label("device", "sda"),
        file: Tail::label("device", "/dev/sda"),
    };
    let traffic = Traffic {
        read_bytes: 11,
        written_bytes: 12,
        ..Traffic::default()
    };
    let usage = Usage {
        size: 100,
        files: Some(50),
        files_free: Some(40),
        ..Usage::default()
    };
    CadvisorFilesRow {
        labels: labels("/kubepods/c").labels(),
        holder: Some((Tail::label("device", "/dev/sda1").into(), usage)),
        layer: Some(7),
        traffic: vec![(device.into(), traffic)],
    }
}

#[test]
fn files_stand_under_the_device_they_lie_on() {
    let schema = schema();
    let metrics = render_all(&schema, &[], &[full_files()]);
    for (family, device, expected) in [
        ("usage_bytes", "/dev/sda1", 7.0),
        ("limit_bytes", "/dev/sda1", 100.0),
        ("inodes_total", "/dev/sda1", 50.0),
        ("inodes_free", "/dev/sda1", 40.0),
        ("reads_bytes_total", "/dev/sda", 11.0),
        ("writes_bytes_total", "/dev/sda", 12.0),
    ] {
        let name = format!("container_fs_{family}");
        let value = metrics.value(&name, &[("device", device)]);
        assert_eq!(value.unwrap(), expected, "{family}");
    }
    assert_eq!(metrics.samples.len(), 6);
    // A layer that was not scanned yet has no size, and an unknown device no series.
    let bare = CadvisorFilesRow {
        layer: None,
        ..full_files()
    };
    assert_eq!(render_all(&schema, &[], &[bare]).samples.len(), 5);
    let lost = CadvisorFilesRow {
        holder: None,
        ..full_files()
    };
    assert_eq!(render_all(&schema, &[], &[lost]).samples.len(), 2);
}

#[test]
fn every_family_is_there_with_its_type_and_the_labels_of_a_kubelet() {
    let schema = schema();
    let rows = [full(&schema, "/kubepods/a"), full(&schema, "/kubepods/b")];
    let metrics = render_all(&schema, &rows, &[full_files()]);
    for metric in METRICS {
        assert_eq!(metrics.types[metric.name], metric.kind.as_str());
        for sample in metrics.series(metric.name) {
            let names: Vec<&str> = sample.labels.keys().map(String::as_str).collect();
            let mut expected = vec!["container", "id", "image", "name", "namespace", "pod"];
            expected.extend(metric.labels);
            expected.sort_unstable();
            assert_eq!(names, expected, "{}", metric.name);
        }
    }
    let tcp = |family: &str, state: &str| {
        let labels = [("id", "/kubepods/a"), ("tcp_state", state)];
        metrics.value(family, &labels).unwrap()
    };
    assert_eq!(tcp("container_network_tcp_usage_total", "established"), 3.0);
    assert_eq!(tcp("container_network_tcp_usage_total", "synrecv"), 0.0);
    assert_eq!(tcp("container_network_tcp6_usage_total", "synrecv"), 1.0);
    assert_eq!(tcp("container_network_tcp6_usage_total", "finwait2"), 1.0);
    assert_eq!(
        tcp("container_network_tcp6_usage_total", "established"),
        0.0
    );
    // Eleven states each, and four of UDP.
    let of = |name| metrics.series(name).len();
    assert_eq!(of("container_network_tcp_usage_total"), 2 * 11);
    assert_eq!(of("container_network_udp6_usage_total"), 2 * 4);
    assert_eq!(of("container_sockets"), 2);
}

#[test]
fn what_is_not_known_has_no_series() {
    let schema = schema();
    let nothing = CadvisorRow {
        labels: labels("/a").labels(),
        counters: Some(schema.counters()),
        tcp: None,
        udp: None,
    };
    assert!(render(&schema, &[nothing]).samples.is_empty());
    // Nor has it a slot where it is not asked for.
    let families = CadvisorFamilies::new(&Schema::new());
    assert!(families.advanced.len() < 30);
}

#[test]
fn counters_are_those_of_the_kernel_s_files() {
    let schema = schema();
    let read = |file: CounterFile, text: &str, counters: &mut Counters| {
        let mut reader: FileReader = schema.reader(file);
        reader.read(text.as_bytes(), counters).unwrap();
    };
    let mut counters = schema.counters();
    read(
        CounterFile::Snmp,
        "Tcp: RtoAlgorithm MaxConn CurrEstab\nTcp: 1 -1 7\n",
        &mut counters,
    );
    read(
        CounterFile::Netstat,
        "TcpExt: TW TCPSACKReneging PAWSEstab\nTcpExt: 8 9 10\n",
        &mut counters,
    );
    let row = CadvisorRow {
        counters: Some(counters),
        tcp: None,
        udp: None,
        ..full(&schema, "/a")
    };
    let metrics = render(&schema, &[row]);
    let name = "container_network_advance_tcp_stats_total";
    let value = |state| metrics.value(name, &[("tcp_state", state)]).unwrap();
    assert_eq!(value("rtoalgorithm"), 1.0);
    assert_eq!(value("maxconn"), -1.0);
    assert_eq!(value("currestab"), 7.0);
    assert_eq!(value("tw"), 8.0);
    assert_eq!(value("tcpsackreneging"), 9.0);
    assert_eq!(value("pawsestab"), 10.0);
    assert_eq!(metrics.samples.len(), 6);
}

#[test]
fn more_slots_are_no_more_families_and_none_twice() {
    let (plain, mut more) = (Schema::new(), schema());
    let names = |schema: &Schema| -> Vec<String> { schema.names().map(str::to_owned).collect() };
    assert_eq!(names(&plain), names(&more));
    let count = more.slots().len();
    assert!(count > plain.slots().len() + 60);
    more.add_cadvisor();
    assert_eq!(more.slots().len(), count);
}
