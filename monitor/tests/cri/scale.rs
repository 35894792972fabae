//! Many containers: how long it takes until all are found, and what it costs when nothing happens.
//!
//! By default few enough for every day. `CONTAINER_MONITOR_TEST_CONTAINERS=300` has the count that
//! the promises are made for, and then the monitor is also watched while nothing happens, for a
//! minute; `CONTAINER_MONITOR_TEST_EXE` names another monitor, such as a release build. Times are
//! printed, not judged: they are the machine's.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use testkit::containerd::{self, ContainerSpec, Containerd, PodSpec};
use testkit::monitor::Monitor;
use testkit::{require, wait};

use crate::{EXE, INFO};

/// Containers of a pod.
const POD: usize = 30;

/// How long everything may take, on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(60);

/// How long the monitor is watched while nothing happens.
const IDLE: Duration = Duration::from_secs(60);

/// Time on a CPU so far, of all threads: the first number of `/proc/<pid>/schedstat` is one
/// thread's alone.
fn cpu_time(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split_whitespace().next().context("empty schedstat")?;
        nanoseconds += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

#[test]
fn many_containers_are_found() -> Result<()> {
    testkit::require!(require::root(), containerd::programs());
    let count = std::env::var("CONTAINER_MONITOR_TEST_CONTAINERS");
    let is_judged = count.is_ok();
    let count: usize = count.map_or(Ok(POD), |count| count.parse())?;
    let exe = std::env::var("CONTAINER_MONITOR_TEST_EXE").unwrap_or_else(|_| EXE.to_owned());
    let containerd = Containerd::start()?;
    let mut pod = None;
    for number in 0..count {
        if number % POD == 0 {
            let spec = PodSpec::new("shop", &format!("web-{}", number / POD));
            pod = Some(containerd.run_pod(&spec)?);
        }
        let pod = pod.as_ref().context("no pod")?;
        containerd.run_container(pod, &ContainerSpec::new(&format!("c{number}"), &[]))?;
    }
    let pods = count.div_ceil(POD);
    let endpoint = containerd.endpoint();
    let monitor = Monitor::start(
        exe,
        &[
            "serve",
            "--discovery=cri,containerd",
            &format!("--cri.endpoint={endpoint}"),
            &format!("--containerd.endpoint={endpoint}"),
        ],
    )?;
    let listening = Instant::now();
    wait::until("the first discovery", LIMIT, || {
        Ok((monitor.get("/readyz")?.status == 200).then_some(()))
    })?;
    let found = listening.elapsed();
    // Whoever is ready knows them all.
    let rows = monitor.metrics()?.series(INFO).len();
    ensure!(rows == count + pods, "{rows} of {} are found", count + pods);
    eprintln!("{count} containers and {pods} sandboxes found {found:?} after the listening began");
    if is_judged {
        let (before, begun) = (cpu_time(monitor.pid())?, Instant::now());
        std::thread::sleep(IDLE);
        let spent = cpu_time(monitor.pid())?.saturating_sub(before);
        let share = 100.0 * spent.as_secs_f64() / begun.elapsed().as_secs_f64();
        eprintln!("{spent:?} of a CPU in {IDLE:?} without a scrape: {share:.3} % of a core");
    }
    monitor.stop()?;
    Ok(())
}
