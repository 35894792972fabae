//! Which containers are published where not all of them are, by the real monitor.
//!
//! Other tests' namespaces are on this machine too: each test looks at its own alone, which it
//! includes by their names.

mod pods;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::{require, wait};

pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_container-monitor");

/// A family that every namespace has one series of.
pub(crate) const USED: &str = "container_network_sockets_used";
/// How long something may take that is a runtime's to do.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const INFO: &str = "container_network_info";
pub(crate) const DROPPED: &str = "container_monitor_containers_dropped";

fn monitor(more: &[&str]) -> Result<Monitor> {
    // A namespace that is newer than the last look at the sockets has no series of them.
    let args = [
        "serve",
        "--discovery=cgroup",
        "--collector.cadvisor",
        "--collector.tcp-states.min-interval=0s",
    ];
    let monitor = Monitor::start(EXE, &[&args, more].concat())?;
    monitor.wait_ready()?;
    Ok(monitor)
}

/// The containers of a family.
pub(crate) fn containers(metrics: &Metrics, family: &str) -> BTreeSet<String> {
    let series = metrics.series(family).into_iter();
    series
        .map(|sample| sample.labels["container"].clone())
        .collect()
}

/// The containers of every family that stands under a container, by cAdvisor's names too; each has
/// to have the same.
fn shown(metrics: &Metrics) -> Result<BTreeSet<String>> {
    let shown = containers(metrics, USED);
    for family in ["container_network_tcp_sockets", INFO] {
        let found = containers(metrics, family);
        ensure!(found == shown, "{family}: {found:?}, expected {shown:?}");
    }
    let names = metrics.series("container_sockets").into_iter();
    let names: BTreeSet<String> = names.map(|sample| sample.labels["name"].clone()).collect();
    ensure!(names == shown, "{names:?}, expected {shown:?}");
    Ok(shown)
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn dropped(metrics: &Metrics, reason: &str) -> Result<f64> {
    metrics.value(DROPPED, &[("reason", reason)])
}

#[test]
fn selectors_say_who_is_published() -> Result<()> {
    testkit::require!(require::root());
    let _netns = [
        Netns::new("lim-sel-web-1")?,
        Netns::new("lim-sel-web-2")?,
        Netns::new("lim-sel-db")?,
    ];
    for (flags, expected) in [
        (
            &["--container-include=container=~lim-sel-.*"][..],
            names(["lim-sel-web-1", "lim-sel-web-2", "lim-sel-db"]),
        ),
        (
            &[
                "--container-include=container=~\"lim-sel-.*\"",
                "--container-exclude=container=~\".*-1\";container=lim-sel-db",
            ],
            names(["lim-sel-web-2"]),
        ),
        (
            &["--container-include=container=~lim-sel-.*,namespace!=\"\""],
            names([]),
        ),
    ] {
        // The sockets of who is left out are not looked for either.
        for source in ["auto", "sock_diag"] {
            let source = format!("--collector.tcp-states={source}");
            let monitor = monitor(&[flags, &[&*source]].concat())?;
            let metrics = monitor.metrics()?;
            ensure!(
                shown(&metrics)? == expected,
                "{flags:?}: {:?}",
                shown(&metrics)?
            );
            let read = metrics.value("container_monitor_network_namespaces", &[])?;
            ensure!(read == expected.len() as f64, "{flags:?}: {read}");
            ensure!(dropped(&metrics, "excluded")? >= (3 - expected.len()) as f64);
            let all = metrics.sum("container_monitor_containers", &[]);
            ensure!(all >= 3.0, "{all}");
            monitor.stop()?;
        }
    }
    Ok(())
}

#[test]
fn the_oldest_stay_while_others_come_and_go() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&[
        "--container-include=container=~lim-old-.*",
        "--limit.containers=3",
    ])?;
    let name = |number: u32| format!("lim-old-{number}");
    let mut alive: Vec<(u32, Netns)> = Vec::new();
    for round in 0..8u32 {
        // Two come; of those that are there, in turn the oldest and the newest goes.
        for number in [2 * round, 2 * round + 1] {
            alive.push((number, Netns::new(&name(number))?));
            // So that no two began in the same hundredth of a second, as the kernel counts.
            std::thread::sleep(Duration::from_millis(20));
        }
        if round > 2 {
            let at = if round % 2 == 0 { 0 } else { alive.len() - 1 };
            alive.remove(at);
        }
        let expected: BTreeSet<String> = alive.iter().take(3).map(|(n, _)| name(*n)).collect();
        let metrics = wait::until("the oldest three", Duration::from_secs(10), || {
            let metrics = monitor.metrics()?;
            let all = metrics.sum(DROPPED, &[("reason", "limit")]) as usize
                + containers(&metrics, USED).len();
            Ok((all == alive.len()).then_some(metrics))
        })?;
        ensure!(shown(&metrics)? == expected, "{:?}", shown(&metrics)?);
    }
    monitor.stop()?;
    Ok(())
}

#[test]
fn there_are_never_more_series_than_the_limit_and_the_oldest_keep_theirs() -> Result<()> {
    testkit::require!(require::root());
    let mut alive = Vec::new();
    for number in 0..6 {
        alive.push(Netns::new(&format!("lim-ser-{number}"))?);
        std::thread::sleep(Duration::from_millis(20));
    }
    let include = "--container-include=container=~lim-ser-.*";
    let all = monitor(&[include])?;
    let metrics = all.metrics()?;
    let total = metrics.value("container_monitor_series", &[])?;
    let lost = metrics.value("container_monitor_series_dropped_total", &[])?;
    ensure!(lost == 0.0 && shown(&metrics)?.len() == 6, "{lost}");
    all.stop()?;

    // Room for three and a half.
    let limit = (total * 3.5 / 6.0) as u64;
    let flag = format!("--limit.series={limit}");
    let limited = monitor(&[include, &flag])?;
    let mut before = 0.0;
    for _ in 0..5 {
        let metrics = limited.metrics()?;
        let series = metrics.value("container_monitor_series", &[])?;
        ensure!(
            series <= limit as f64 && series > limit as f64 / 2.0,
            "{series} of {limit}"
        );
        let own =
            |name: &str| name.starts_with("container_monitor_") || name.starts_with("process_");
        let host = |name: &str| {
            name.starts_with("container_monitor_host_tcp")
                || name.starts_with("container_monitor_host_udp")
        };
        let samples = metrics.samples.iter();
        let counted = samples.filter(|s| !own(&s.name) || host(&s.name)).count();
        ensure!(
            counted as f64 == series,
            "{counted} are counted as {series}"
        );
        let expected = names(["lim-ser-0", "lim-ser-1", "lim-ser-2"]);
        ensure!(shown(&metrics)? == expected, "{:?}", shown(&metrics)?);
        let dropped = metrics.value("container_monitor_series_dropped_total", &[])?;
        ensure!(dropped - before > total / 4.0, "{before}, then {dropped}");
        before = dropped;
    }
    // Who goes makes room.
    drop(alive.remove(0));
    limited.metrics_when(Duration::from_secs(10), |metrics| {
        let expected = names(["lim-ser-1", "lim-ser-2", "lim-ser-3"]);
        ensure!(shown(metrics)? == expected, "{:?}", shown(metrics)?);
        Ok(())
    })?;
    // Told once.
    let log = limited.log();
    let told = log.iter().filter(|line| line.contains("--limit.series"));
    ensure!(told.count() == 1, "{log:?}");
    limited.stop()?;
    Ok(())
}

#[test]
fn the_young_are_left_out_until_they_are_old() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&[
        "--container-include=container=lim-young",
        "--min-container-age=4s",
    ])?;
    let _netns = Netns::new("lim-young")?;
    let metrics = monitor.metrics()?;
    ensure!(shown(&metrics)?.is_empty(), "{:?}", shown(&metrics)?);
    ensure!(dropped(&metrics, "too_young")? == 1.0);
    monitor.metrics_when(Duration::from_secs(20), |metrics| {
        ensure!(shown(metrics)? == names(["lim-young"]));
        ensure!(dropped(metrics, "too_young")? == 0.0);
        Ok(())
    })?;
    monitor.stop()?;
    Ok(())
}
