//! Random workloads in twenty namespaces, stopped again and again: at every quiet point every
//! number is what `ss` says.

use anyhow::{Context, Result, ensure};
use testkit::chaos::Chaos;
use testkit::metrics::Metrics;
use testkit::netns::Netns;
use testkit::published::{self, Queues};
use testkit::{require, ss};

use crate::{MISMATCH, monitor, queues_by_ss, states_in};

const NAMESPACES: u64 = 20;

/// What there is to be compared with in a namespace.
type Judged = (ss::States, Queues);

fn judge(netns: &Netns) -> Result<Judged> {
    Ok((ss::states(netns.pid())?, queues_by_ss(netns)?))
}

/// The number of quiet points: `CONTAINER_MONITOR_QUIET_POINTS`, or a few.
fn points(few: usize) -> Result<usize> {
    match std::env::var("CONTAINER_MONITOR_QUIET_POINTS") {
        Ok(text) => text.parse().context("CONTAINER_MONITOR_QUIET_POINTS"),
        Err(_) => Ok(few),
    }
}

/// Does something random in every namespace, on two threads.
fn act(workloads: &mut [(Netns, Chaos)]) -> Result<()> {
    let half = workloads.len() / 2;
    let (first, second) = workloads.split_at_mut(half);
    let steps = |workloads: &mut [(Netns, Chaos)]| -> Result<()> {
        for (netns, chaos) in workloads {
            netns.enter(|| chaos.steps(3))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(move || steps(second));
        steps(first)?;
        other
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Judges every namespace.
fn judge_all(workloads: &[(Netns, Chaos)]) -> Result<Vec<Judged>> {
    workloads.iter().map(|(netns, _)| judge(netns)).collect()
}

fn compare(metrics: &Metrics, netns: &Netns, judged: &Judged) -> Result<()> {
    let (states, queues) = judged;
    let seen = states_in(metrics, netns)?;
    ensure!(seen == *states, "{seen:?}, by ss {states:?}");
    let seen = published::queues(metrics, metrics.container_in(netns.inode())?)?;
    // The monitor tells 64 ports apart, and so many listen nowhere here.
    ensure!(seen == *queues, "{seen:?}, by ss {queues:?}");
    Ok(())
}

fn quiet_points(source: &str, few: usize) -> Result<()> {
    let monitor = monitor(source, &[])?;
    let seed = u64::from(std::process::id());
    let mut workloads = (0..NAMESPACES)
        .map(|number| {
            let netns = Netns::new(&format!("st-{source}-{number}")[..].replace("sock_", ""))?;
            Ok((netns, Chaos::new(seed << 8 | number)))
        })
        .collect::<Result<Vec<_>>>()?;
    let points = points(few)?;
    let (mut compared, mut moved, mut still, mut agreed) = (0, 0, 0, 0);
    for point in 0..points {
        act(&mut workloads).with_context(|| format!("seed {seed}"))?;
        let before = judge_all(&workloads)?;
        let metrics = monitor.metrics()?;
        let after = judge_all(&workloads)?;
        for (((netns, chaos), before), after) in workloads.iter().zip(&before).zip(&after) {
            if before != after {
                moved += 1;
                continue;
            }
            compared += 1;
            compare(&metrics, netns, before).with_context(|| {
                let last = chaos.last();
                format!(
                    "seed {seed}, point {point}, {}: after {last:?}",
                    netns.inode()
                )
            })?;
        }
        if before == after {
            still += 1;
            // Namespaces of other tests are in that sum, too, and may be busy.
            agreed += usize::from(metrics.value(MISMATCH, &[])? == 0.0);
        }
    }
    eprintln!(
        "{source}, seed {seed}: {points} points, {still} of them still everywhere, with the files \
         in agreement at {agreed}; {compared} namespaces compared, {moved} had moved"
    );
    ensure!(
        agreed * 2 >= still,
        "the files agreed at {agreed} points of {still}"
    );
    ensure!(
        compared >= points * NAMESPACES as usize * 3 / 4,
        "only {compared} were quiet"
    );
    monitor.stop()?;
    Ok(())
}

#[test]
fn the_kernel_s_tables_are_what_ss_says() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::program("ss"));
    quiet_points("kernel", 40)
}

#[test]
fn sock_diag_is_what_ss_says() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    quiet_points("sock_diag", 10)
}
