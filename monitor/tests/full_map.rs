//! A full map of transitions loses nothing silently. It stands apart from the other tests of eBPF,
//! which run beside one another: the programs of all monitors on a machine see the same sockets,
//! and would have full maps too.

use std::process::Command;

use anyhow::{Result, ensure};
use monitor_ebpf::MAX_KEYS;
use testkit::cgroup::Cgroup;
use testkit::child::output;
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::{image, require};

/// The family that is tested here.
const TRANSITIONS: &str = "container_network_tcp_transitions_total";

/// Namespaces and cgroups that make more pairs than the map has room for.
const NAMESPACES: u64 = 66;
const CGROUPS: u64 = 64;

#[test]
fn a_full_map_says_so() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::cgroup2());
    ensure!(NAMESPACES * CGROUPS > u64::from(MAX_KEYS) + 100);
    let args = ["serve", "--discovery", "cgroup", "--require-ebpf"];
    let monitor = Monitor::start(env!("CARGO_BIN_EXE_container-monitor"), &args)?;
    let namespaces = (0..NAMESPACES)
        .map(|_| Netns::new("eb-full"))
        .collect::<Result<Vec<_>>>()?;
    let pids: Vec<String> = namespaces.iter().map(|n| n.pid().to_string()).collect();
    let listen_in = |cgroup: &Cgroup, pids: &[String]| -> Result<()> {
        let mut command = Command::new(image::workload()?);
        command.arg("listen-in").args(pids);
        cgroup.put(&mut command)?;
        output(&mut command)?;
        Ok(())
    };
    let first = Cgroup::plain()?;
    listen_in(&first, &pids)?;
    for _ in 1..CGROUPS {
        listen_in(&Cgroup::plain()?, &pids)?;
    }
    let metrics = monitor.metrics()?;
    let own = |name: &str| metrics.value(&format!("container_monitor_ebpf_{name}"), &[]);
    let entries = own("map_entries")? as u64;
    ensure!(entries == u64::from(MAX_KEYS), "{entries} entries");
    // A listener that is opened and closed makes two transitions.
    let lost = own("map_full_total")? as u64;
    let least = 2 * (NAMESPACES * CGROUPS - u64::from(MAX_KEYS));
    ensure!(
        lost >= least * 99 / 100,
        "{lost} lost, at least {least} were"
    );
    let counted = own("events_total")? as u64;
    ensure!(counted >= u64::from(MAX_KEYS), "{counted} counted");
    // One warning for the 1st, 2nd, 4th, 8th… transition that is lost.
    let said = |line: &&String| line.contains("WARN") && line.contains("transition map is full");
    let warnings = monitor.log().iter().filter(said).count() as u64;
    let powers = u64::from(lost.ilog2()) + 1;
    ensure!(
        warnings.abs_diff(powers) <= 1,
        "{warnings} warnings of {lost}"
    );
    // What has its entry goes on counting.
    let listened = |metrics: &Metrics| -> Result<f64> {
        let container = metrics.container_in(namespaces[0].inode())?;
        Ok(metrics.sum(
            TRANSITIONS,
            &[("container", container), ("new_state", "listen")],
        ))
    };
    let before = listened(&metrics)?;
    for _ in 0..10 {
        listen_in(&first, &pids[..1])?;
    }
    let more = listened(&monitor.metrics()?)? - before;
    ensure!((more as u64).abs_diff(10) <= 1, "{more} more of 10");
    monitor.stop()?;
    Ok(())
}
