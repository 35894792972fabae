//! `cargo xtask bench`: what a scrape of many network namespaces costs, beside the floor and
//! beside other ways to get at such numbers, in one table.
//!
//! All of it runs in one process tree on one machine, round by round in turn, because timed
//! figures of a machine move by a fifth from minute to minute: compare within a table, never
//! between two. The namespaces are made for it, hold a sleeping process each, and go in the end.

mod cpu;
mod ebpf;
mod mounts;
mod sockets;
mod throughput;
mod ways;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use testkit::child::find_program;
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::require;

use crate::{cargo, signals, table};

/// Rounds of the ways that take seconds.
const SLOW_ROUNDS: usize = 3;

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many network namespaces
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..=2000))]
    namespaces: u16,
    /// How many TCP sockets in them, connected over loopback
    #[arg(long, default_value_t = 16_000, value_parser = clap::value_parser!(u16).range(0..=18_000))]
    sockets: u16,
    /// Rounds whose median is taken; of the ways that take seconds, at most three
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
}

/// Measures and prints the table.
///
/// # Errors
/// Without root's rights, when something cannot be started, or on Ctrl-C.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(
        require::root().is_ok(),
        "making network namespaces is for root"
    );
    for (program, package) in [("ss", "iproute2"), ("nsenter", "util-linux")] {
        ensure!(
            find_program(program).is_some(),
            "{program} is one of the other ways and is not there (Debian: {package})"
        );
    }
    let exe = cargo::release_daemon()?;
    signals::hold();
    let count = usize::from(args.namespaces);
    eprintln!("making {count} network namespaces");
    let folder = mounts::folder()?;
    let namespaces = (0..count)
        .map(|number| mounts::container(&format!("bench-{number}"), &folder))
        .collect::<Result<Vec<_>>>()?;
    let pids: Vec<u32> = namespaces.iter().map(Netns::pid).collect();

    let held = sockets::hold(&namespaces, usize::from(args.sockets))?;

    let daemons = Daemons::start(&exe)?;
    let seen = daemons
        .kernel
        .metrics()?
        .series("container_network_info")
        .len();
    if seen != count {
        eprintln!("warning: the daemon reads {seen} containers, the other ways {count}");
    }
    let times = measure(&daemons, &pids, &folder, usize::from(args.rounds))?;
    let text = daemons.kernel.get("/metrics")?.text()?;
    let metrics = Metrics::parse(&text)?;
    let resident = daemons.kernel.rss_bytes()?;
    daemons.files.stop()?;
    daemons.network.stop()?;
    drop(held);
    let first = namespaces.first().context("no namespace")?;
    let daemon = daemons.kernel;
    let program = ebpf::cost_of_an_event(daemon.pid(), first);
    let served = throughput::measure(&daemon, first)?;
    daemon.stop()?;

    let mut lines = times.lines();
    lines.extend(own_lines(&metrics)?);
    lines.push(match program {
        Ok(cost) => line(
            &format!("eBPF program, an event ({} events)", cost.events),
            &format!("{:.0} ns", cost.nanoseconds),
        ),
        Err(error) => line("eBPF program", &format!("not measured: {error:#}")),
    });
    lines.extend(served.lines());
    lines.push(line(
        "resident memory of the daemon",
        &format!("{:.1} MB", mega(resident)),
    ));
    lines.push(line(
        "a scrape",
        &format!(
            "{} series, {:.2} MB",
            metrics.samples.len(),
            mega(text.len() as u64)
        ),
    ));
    println!("{}\n\n{}", title(args), table::markdown(&lines));
    Ok(())
}

/// Switches off what has nothing to do with the network.
const NO_FILES: [&str; 1] = ["--no-collector.filesystem"];

/// A monitor that reads the kernel's tables, and one that has to do without.
#[derive(Debug)]
struct Daemons {
    kernel: Monitor,
    files: Monitor,
    /// As the first one, without file systems.
    network: Monitor,
}

impl Daemons {
    fn start(exe: &Path) -> Result<Self> {
        let start = |states: &str, counters: &str, more: &[&str]| -> Result<Monitor> {
            let args = [
                "serve",
                "--discovery=cgroup",
                // Every scrape looks.
                "--collector.tcp-states.min-interval=0s",
                "--collector.tcp-states.max-duration=1h",
                mounts::ONLY_OWN,
                states,
                counters,
            ];
            let daemon = Monitor::start(exe, &[&args, more].concat())?;
            daemon.wait_ready()?;
            Ok(daemon)
        };
        Ok(Self {
            kernel: start(
                "--collector.tcp-states=kernel",
                "--collector.counters=kernel",
                &[],
            )?,
            files: start(
                "--collector.tcp-states=sock_diag",
                "--collector.counters=proc",
                &NO_FILES,
            )?,
            network: start(
                "--collector.tcp-states=kernel",
                "--collector.counters=kernel",
                &NO_FILES,
            )?,
        })
    }
}

/// What the monitor says of its last scrape.
fn own_lines(metrics: &Metrics) -> Result<Vec<Vec<String>>> {
    let own = |name: &str, labels: &[(&str, &str)]| {
        let value = metrics.value(&format!("container_monitor_{name}"), labels)?;
        Ok::<_, anyhow::Error>(format!("{:.2} ms", value * 1e3))
    };
    let sockets = metrics.value("container_monitor_tcp_states_sockets", &[])?;
    let counters = [("collector", "counters")];
    Ok(vec![
        line(
            &format!("— the pass over all socket tables ({sockets} sockets)"),
            &own("tcp_states_duration_seconds", &[])?,
        ),
        line(
            "— its longest slice",
            &own("tcp_states_longest_slice_seconds", &[])?,
        ),
        line(
            "— file systems, beside the rest",
            &own("collector_duration_seconds", &[("collector", "filesystem")])?,
        ),
        line(
            "— the pass over all namespaces' counters",
            &own("collector_duration_seconds", &counters)?,
        ),
    ])
}

/// What was timed, a value a round.
#[derive(Debug, Default)]
struct Times {
    scrape: Vec<Duration>,
    scrape_cpu: Vec<Duration>,
    network: Vec<Duration>,
    fallback: Vec<Duration>,
    mounts: Vec<Duration>,
    floor: Vec<Duration>,
    socket_tables: Vec<Duration>,
    ss: Vec<Duration>,
}

/// Every way once, then round by round.
fn measure(daemons: &Daemons, pids: &[u32], folder: &TempDir, rounds: usize) -> Result<Times> {
    let ask = |daemon: &Monitor| daemon.get("/metrics").and_then(|answer| answer.text());
    let daemon = &daemons.kernel;
    let scrape = || ask(daemon);
    let network = || ask(&daemons.network);
    let fallback = || ask(&daemons.files);
    let floor = ways::Files::new(pids, &ways::COUNTERS);
    let socket_tables = ways::Files::new(pids, &ways::SOCKET_TABLES);
    scrape()?;
    network()?;
    fallback()?;
    mounts::floor(pids, folder)?;
    floor.read()?;
    let mut times = Times::default();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        let cpu = cpu::time_of(daemon.pid())?;
        times.scrape.push(time(scrape)?);
        times.scrape_cpu.push(cpu::time_of(daemon.pid())? - cpu);
        times.network.push(time(network)?);
        times.mounts.push(time(|| mounts::floor(pids, folder))?);
        times.floor.push(time(|| floor.read())?);
        times.fallback.push(time(fallback)?);
        if round < SLOW_ROUNDS {
            times.socket_tables.push(time(|| socket_tables.read())?);
            times.ss.push(time(|| ways::ss(pids))?);
        }
        ensure!(!signals::asked(), "interrupted");
    }
    Ok(times)
}

fn time<T>(work: impl FnOnce() -> Result<T>) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

impl Times {
    /// The table's first lines, its heading too.
    fn lines(&self) -> Vec<Vec<String>> {
        let floor = median(&self.floor);
        let heading = ["what", "median", "ratio to the floor"];
        let rows = [
            ("GET /metrics of the daemon", &self.scrape),
            ("— its CPU time, all threads", &self.scrape_cpu),
            ("— without file systems", &self.network),
            (
                "read mountinfo, statvfs 5 mounts of each, one thread",
                &self.mounts,
            ),
            (
                "the same without file systems, with sock_diag and the files of /proc",
                &self.fallback,
            ),
            (
                "floor: open, read, close the same 5 files of each, one thread",
                &self.floor,
            ),
            (
                "read net/tcp, tcp6, udp, udp6 of each (cAdvisor's way)",
                &self.socket_tables,
            ),
            ("nsenter -n ss -s in each", &self.ss),
        ];
        let mut lines = vec![heading.map(str::to_owned).to_vec()];
        lines.extend(rows.map(|(name, times)| {
            let median = median(times);
            let ratio = median.as_secs_f64() / floor.as_secs_f64();
            vec![name.to_owned(), milliseconds(median), format!("{ratio:.2}")]
        }));
        lines
    }
}

fn line(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), value.to_owned(), String::new()]
}

/// What the table is about.
fn title(args: &Args) -> String {
    let system = rustix::system::uname();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{} network namespaces, {} TCP sockets, Linux {}, {cpus} CPUs; medians of {} interleaved rounds ({} of the \
         last two ways)",
        args.namespaces,
        args.sockets,
        system.release().to_string_lossy(),
        args.rounds,
        SLOW_ROUNDS.min(usize::from(args.rounds)),
    )
}

/// The middle value, the upper one of two; zero of none.
fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    if milliseconds < 100.0 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{milliseconds:.0} ms")
    }
}

fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_one() {
        let times = [9, 1, 5].map(Duration::from_millis);
        assert_eq!(median(&times), Duration::from_millis(5));
        assert_eq!(median(&[]), Duration::ZERO);
    }

    #[test]
    fn every_line_has_the_heading_s_columns() {
        let times = Times {
            floor: vec![Duration::from_millis(20)],
            scrape: vec![Duration::from_millis(30)],
            ..Times::default()
        };
        let lines = times.lines();
        assert!(lines.iter().all(|line| line.len() == 3));
        assert_eq!(lines[1][1..], ["30.0 ms", "1.50"]);
    }
}
