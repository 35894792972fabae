//! The daemon, started in one way or another, and what it says it is left with.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use testkit::child::finish;
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;

/// How long something may take that is the kernel's, the daemon's or a child's to do: everything
/// is emulated here, and slow.
pub(crate) const SOON: Duration = Duration::from_secs(30);

const ARGUMENTS: [&str; 5] = [
    "serve",
    "--discovery=cgroup",
    "--web.listen-address=127.0.0.1:0",
    "--collector.tcp-states.min-interval=0s",
    "--log.level=info",
];

/// Starts the daemon and waits until it has found the containers that there are.
pub(crate) fn start(more: &[&str]) -> Result<Monitor> {
    ready(command(more))
}

/// The same without the right to use `bpf(2)`.
pub(crate) fn start_without_bpf(more: &[&str]) -> Result<Monitor> {
    ready(without_bpf(command(more)))
}

/// Demands that the daemon does not start with these flags, and says why in one line that has all
/// of `words`.
pub(crate) fn refuses(more: &[&str], words: &[&str]) -> Result<()> {
    ends(command(more), words)
}

/// The same without the right to use `bpf(2)`.
pub(crate) fn refuses_without_bpf(more: &[&str], words: &[&str]) -> Result<()> {
    ends(without_bpf(command(more)), words)
}

/// Where the daemon takes numbers from on this kernel when it may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    /// TCP states.
    pub(crate) states: String,
    /// Counters.
    pub(crate) counters: String,
}

impl Sources {
    /// What a scrape says of them.
    pub(crate) fn of(metrics: &Metrics) -> Result<Self> {
        Ok(Self {
            states: source(metrics, "tcp_states")?,
            counters: source(metrics, "counters")?,
        })
    }
}

/// Demands that the daemon still takes numbers from where it does `usually`: it leaves a source
/// that it has found wrong, and what it then publishes from another one is right.
pub(crate) fn keeps_to(monitor: &Monitor, usually: &Sources) -> Result<()> {
    let sources = Sources::of(&monitor.metrics()?)?;
    ensure!(
        sources == *usually,
        "numbers come from {sources:?}, not {usually:?} any more: {:#?}",
        monitor.log()
    );
    Ok(())
}

/// What the daemon is left with, as its metrics say, beside what it `usually` has: which numbers
/// are missing, and whether others are only had at a higher price.
pub(crate) fn left_with(metrics: &Metrics, usually: &Sources) -> Result<String> {
    let has = |collector: &str| {
        let labels = [("collector", collector)];
        Ok::<_, anyhow::Error>(
            metrics.value("container_monitor_collector_success", &labels)? == 1.0,
        )
    };
    let missing: Vec<&str> = [
        ("transitions", "no transitions"),
        ("tcp-states", "no states"),
    ]
    .into_iter()
    .filter_map(|(collector, word)| match has(collector) {
        Ok(true) => None,
        Ok(false) => Some(Ok(word)),
        Err(error) => Some(Err(error)),
    })
    .collect::<Result<_>>()?;
    let mut left = match &missing[..] {
        [] => "everything".to_owned(),
        missing => missing.join(", "),
    };
    if Sources::of(metrics)? != *usually {
        left.push_str(", slower");
    }
    Ok(left)
}

/// Where the daemon takes the numbers of a family from.
fn source(metrics: &Metrics, family: &str) -> Result<String> {
    let name = format!("container_monitor_{family}_source");
    let rows = metrics.series(&name);
    let row = rows.iter().find(|row| row.value == 1.0);
    let label = row.and_then(|row| row.labels.get("source"));
    Ok(label.with_context(|| format!("{name} names none"))?.clone())
}

/// Demands exactly one line of the log that has all of `words`.
pub(crate) fn says(monitor: &Monitor, words: &[&str]) -> Result<()> {
    let log = monitor.log();
    let has_all = |line: &&String| words.iter().all(|word| line.contains(word));
    let count = log.iter().filter(has_all).count();
    ensure!(count == 1, "{count} lines with {words:?}: {log:#?}");
    Ok(())
}

fn command(more: &[&str]) -> Command {
    let program = Path::new("/").join(guest::MONITOR);
    testkit::monitor::command(program, &[&ARGUMENTS, more].concat())
}

fn ready(command: Command) -> Result<Monitor> {
    let monitor = Monitor::spawn(command)?;
    monitor.wait_ready()?;
    Ok(monitor)
}

fn ends(command: Command, words: &[&str]) -> Result<()> {
    let output = finish(command, SOON)?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    ensure!(
        output.status.code() == Some(1) && errors.len() == 1,
        "{:?}, {log}",
        output.status
    );
    for word in words {
        ensure!(errors[0].contains(word), "no {word} in {log}");
    }
    Ok(())
}

/// Takes away the capabilities that allow `bpf(2)`.
fn without_bpf(mut command: Command) -> Command {
    use std::os::unix::process::CommandExt as _;
    let hook = || {
        let mut capabilities = CapabilitySet::SYS_ADMIN;
        // Linux 5.8; before, there was CAP_SYS_ADMIN alone.
        for more in [CapabilitySet::BPF, CapabilitySet::PERFMON] {
            capabilities |= more;
        }
        for capability in capabilities.iter() {
            match remove_capability_from_bounding_set(capability) {
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    };
    // SAFETY: the hook makes system calls and touches no memory of the parent.
    unsafe { command.pre_exec(hook) };
    command
}
