//! The map's limits: how much memory it takes, and that a full one loses nothing silently.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use monitor_ebpf::MAX_KEYS;
use testkit::cgroup::Cgroup;
use testkit::child::output;
use testkit::metrics::Metrics;
use testkit::netns::Netns;
use testkit::{image, require};

use crate::{TRANSITIONS, close_to, monitor};

/// Namespaces and cgroups that make more pairs than the map has room for.
const NAMESPACES: u64 = 66;
const CGROUPS: u64 = 64;

#[test]
fn maps_take_less_than_8_mib() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let monitor = monitor(&[])?;
    let (mut maps, mut bytes) = (0, 0);
    for file in std::fs::read_dir(format!("/proc/{}/fdinfo", monitor.pid()))? {
        // One that was closed meanwhile is none any more.
        let info = std::fs::read_to_string(file?.path()).unwrap_or_default();
        if info.contains("\nmap_type:") {
            let memory = info.lines().find_map(|line| line.strip_prefix("memlock:"));
            bytes += memory.context("no memlock")?.trim().parse::<u64>()?;
            maps += 1;
        }
    }
    eprintln!("{maps} maps take {} KiB", bytes / 1024);
    ensure!(maps >= 2, "only {maps} maps found");
    ensure!(bytes < 8 << 20, "{maps} maps take {bytes} bytes");
    Ok(())
}

#[test]
fn a_full_map_says_so() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::cgroup2());
    ensure!(NAMESPACES * CGROUPS > u64::from(MAX_KEYS) + 100);
    let monitor = monitor(&[])?;
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
    ensure!(close_to(more as u64, 10), "{more} more of 10");
    monitor.stop()?;
    Ok(())
}
