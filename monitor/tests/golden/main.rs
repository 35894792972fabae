//! The golden `/metrics`: all that a collection writes about a known machine, byte for byte.
//!
//! The machine is a folder of files in place of `/proc`, with the counters of real kernels, and
//! containers both of a runtime and of the scan. `UPDATE_GOLDEN=1` writes the file anew; the
//! change is then to be read like any other.

mod tree;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use container_monitor::cgroups::Cgroups;
use container_monitor::collector::{Collector, FileSamplers, Parts};
use container_monitor::container::{Container, PodRef, Runtime};
use container_monitor::discovery::scan::ScanMode;
use container_monitor::discovery::{Inventory, SourceState};
use container_monitor::metrics::own::{BuildInfo, OwnMetrics};
use container_monitor::metrics::{CounterFile, Schema};
use container_monitor::procfs::ProcFs;
use container_monitor::sampler::facts::FactReader;
use container_monitor::sampler::tcp_states::{Pace, TcpStateSampler, TcpStatesMode};
use testkit::metrics::Metrics;
use testkit::prometheus::promtool_check_metrics;
use testkit::require;

use tree::{Process, Tree};

const GOLDEN: &str = "tests/fixtures/golden/metrics.txt";

/// The value of what is another at each run.
const VARYING: [&str; 2] = [
    "container_monitor_collector_duration_seconds",
    "container_monitor_collection_duration_seconds",
];

/// A full container id.
fn id(digit: char) -> String {
    std::iter::repeat_n(digit, 64).collect()
}

/// Processes that the scan finds, or passes over.
fn scanned(tree: &mut Tree) -> Result<()> {
    for (netns, kernel) in [
        ("systemd-pod", "6.12"),
        ("cgroupfs-pod", "5.10"),
        ("docker", "6.1"),
        ("plain", "7.2"),
        ("plain-too", "7.2"),
        ("named", "6.18"),
        ("leaderless", "6.18"),
        ("ipv4-only", "6.1"),
        ("damaged", "6.18"),
    ] {
        tree.namespace(netns, kernel)?;
    }
    for file in ["sockstat6", "snmp6"] {
        std::fs::remove_file(tree.file("ipv4-only", file)?)?;
    }
    let netstat = std::fs::read(tree.file("damaged", "netstat")?)?;
    std::fs::write(
        tree.file("damaged", "netstat")?,
        &netstat[..netstat.len() / 2],
    )?;
    tree.name("named", "blue")?;

    let systemd = |id: &str| {
        format!(
            "/kubepods.slice/kubepods-burstable.slice/\
             kubepods-burstable-pod0b1c2d3e_0000_4000_8000_0123456789ab.slice/\
             cri-containerd-{id}.scope"
        )
    };
    let cgroupfs = format!(
        "/kubepods/besteffort/pod0b1c2d3e-0000-4000-8000-0123456789ac/{}",
        id('c')
    );
    let docker = |id: &str| format!("/system.slice/docker-{id}.scope");
    let (first, second) = (systemd(&id('a')), systemd(&id('b')));
    let (bridged, host) = (docker(&id('d')), docker(&id('e')));
    let process = |pid, comm, netns, cgroup, started| Process {
        pid,
        comm,
        netns,
        cgroup,
        started,
    };
    let session = "/user.slice/session-1.scope";
    for process in [
        process(101, &b"pause"[..], "systemd-pod", &*first, 500),
        process(102, b"server", "systemd-pod", &second, 700),
        process(111, b"server", "cgroupfs-pod", &cgroupfs, 800),
        process(121, b"nginx", "docker", &bridged, 900),
        // A second process of the same container, and one of none.
        process(122, b"nginx", "docker", &bridged, 950),
        process(123, b"nsenter", "docker", session, 100),
        process(131, b"my\"app\\", "plain", session, 1000),
        process(132, b"child", "plain", session, 1001),
        process(133, b"my\"app\\", "plain-too", session, 1002),
        process(141, b"sleep", "named", session, 1100),
        // In the host's namespace: the scan passes it over.
        process(151, b"agent", "host", &host, 1200),
        process(171, b"ipv4-only", "ipv4-only", "/", 1300),
        process(181, b"damaged", "damaged", "/", 1400),
    ] {
        tree.process(&process)?;
    }
    tree.leaderless(&process(161, b"leaderless", "leaderless", session, 1500))
}

/// Containers that a runtime tells of.
fn described(tree: &mut Tree, inventory: &Arc<Inventory>) -> Result<ProcFs> {
    tree.namespace("cart", "6.18")?;
    tree.namespace("web", "6.12")?;
    let pod = |container: &str| {
        Some(PodRef {
            namespace: "shop".to_owned(),
            name: "cart-0".to_owned(),
            container: container.to_owned(),
        })
    };
    let web = format!("container:{}", id('4'));
    let containers = [
        ("1", "k8s_POD_cart-0", "cart", pod(""), "none"),
        (
            "2",
            "k8s_server_cart-0",
            "cart",
            pod("server"),
            "container:1",
        ),
        ("3", "k8s_proxy_cart-0", "cart", pod("proxy"), "container:1"),
        ("4", "web", "web", None, "bridge"),
        ("5", "web-log", "web", None, &*web),
        ("6", "node-agent", "host", None, "host"),
    ];
    for (pid, (_, _, netns, ..)) in (200..).zip(&containers) {
        let process = Process {
            pid,
            comm: b"main",
            netns,
            cgroup: "/",
            // The sidecar and the joined container came first: age alone makes no owner.
            started: 9000 - u64::from(pid),
        };
        tree.process(&process)?;
    }
    let procfs = ProcFs::open(&tree.root())?;
    let source = inventory.add_source("docker");
    for (pid, (digit, name, _, pod, mode)) in (200..).zip(containers) {
        source.upsert(Container {
            id: digit.repeat(64),
            name: name.to_owned(),
            image: format!("registry.example/{name}:1.0"),
            runtime: Runtime::Docker,
            sandbox: digit == "1",
            pod,
            pod_labels: Arc::default(),
            network_mode: mode.to_owned(),
            started: 9000 - u64::from(pid),
            process: Arc::new(procfs.process(pid)?),
        });
    }
    source.count_event();
    source.set_state(SourceState::Up);
    Ok(procfs)
}

fn collect(tree: &mut Tree) -> Result<String> {
    let inventory = Inventory::new();
    scanned(tree)?;
    let procfs = Arc::new(described(tree, &inventory)?);
    let (schema, files) = (Schema::new(), CounterFile::ALL);
    let pace = Pace {
        min_interval: Duration::ZERO,
        max_duration: Duration::ZERO,
    };
    let mut collector = Collector::new(Parts {
        file_samplers: FileSamplers::default(),
        cadvisor: None,
        // No socket is looked for: these processes are files.
        tcp_states: TcpStateSampler::new(TcpStatesMode::Off, false, pace, &schema, &files),
        facts: FactReader::new(&schema, &files),
        passes: None,
        cgroups: Cgroups::open(&tree.root()),
        procfs,
        inventory,
        scan: ScanMode::Always,
        host_network: true,
        limits: Default::default(),
        files: files.to_vec(),
        schema,
        wants_transitions: false,
        transitions: None,
        cookies: false,
        own: OwnMetrics::new(BuildInfo {
            version: "1.2.3".to_owned(),
            revision: "0123456".to_owned(),
            ebpf_object: "89ab".to_owned(),
        })?,
        pod_labels: Arc::default(),
    })?;
    Ok(collector.collect().text().to_owned())
}

/// The text without what is another at each run, the lines of each family in order.
fn steady(text: &str) -> String {
    let mut families: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        let varies = VARYING.iter().any(|name| line.starts_with(name));
        let line = match line.rsplit_once(' ') {
            Some((series, _)) if varies => format!("{series} <seconds>"),
            _ => line.to_owned(),
        };
        if line.starts_with("# HELP") {
            families.push(Vec::new());
        }
        if let Some(family) = families.last_mut() {
            family.push(line);
        }
    }
    // The process metrics speak of the test, and are the `prometheus` crate's.
    families.retain(|family| !family[0].starts_with("# HELP process_"));
    for family in &mut families {
        family[2..].sort();
    }
    let mut lines = families.concat();
    lines.push(String::new());
    lines.join("\n")
}

#[test]
fn the_exposition_of_a_known_machine() -> Result<()> {
    let mut tree = Tree::new()?;
    let text = collect(&mut tree)?;
    Metrics::parse(&text)?;
    ensure!(
        text.contains("\nprocess_resident_memory_bytes "),
        "no process metrics"
    );
    let seen = steady(&tree.without_inodes(&text));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&path, &seen)?;
    }
    let golden = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}: write it with UPDATE_GOLDEN=1",
            path.display()
        )
    })?;
    let missing = golden
        .lines()
        .filter(|line| !seen.lines().any(|l| l == *line));
    let new = seen
        .lines()
        .filter(|line| !golden.lines().any(|l| l == *line));
    let difference: Vec<String> = missing
        .map(|line| format!("- {line}"))
        .chain(new.map(|line| format!("+ {line}")))
        .collect();
    ensure!(
        golden == seen,
        "{GOLDEN} differs (UPDATE_GOLDEN=1 writes it anew):\n{}",
        difference.join("\n")
    );
    if require::met(&[require::program("promtool")]) {
        promtool_check_metrics(&text)?;
    }
    Ok(())
}
