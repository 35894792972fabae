//! What the daemon is left with where something cannot be had: it starts, says so once, and what
//! it publishes is right; or it does not start, where what it lacks was asked for.

use anyhow::{Context as _, Result, ensure};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::{proc_net_tcp, published};

use super::container::Container;
use super::daemon::Sources;
use super::report::Absent;
use super::{counters, daemon, mounts, transitions};

/// The kernel's description of its types is hidden.
pub(crate) fn no_btf(usually: &Sources) -> Result<String> {
    let hidden = mounts::Mounted::new("tmpfs", "/sys/kernel/btf", None)?;
    let words = ["no BTF at /sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"];
    let monitor = daemon::start(&[])?;
    daemon::says(&monitor, &[&words[..], &["not counted"]].concat())?;
    let left = right_numbers(monitor, usually)?;
    daemon::refuses(
        &["--require-ebpf"],
        &[&words[..], &["--require-ebpf"]].concat(),
    )?;
    drop(hidden);
    Ok(left)
}

/// The tracing file system is not mounted, as yet.
pub(crate) fn no_tracefs(usually: &Sources) -> Result<String> {
    right_numbers(daemon::start(&[])?, usually)
}

/// `bpf(2)` is refused. Without CAP_SYS_ADMIN no namespace can be entered either, so there are no
/// states, and it says so.
pub(crate) fn no_bpf(usually: &Sources) -> Result<String> {
    let words = ["CAP_BPF", "CAP_PERFMON"];
    let monitor = daemon::start_without_bpf(&[])?;
    daemon::says(&monitor, &[&words[..], &["not counted"]].concat())?;
    let container = Container::new()?;
    let metrics = monitor.metrics()?;
    ensure!(
        metrics.series(published::SOCKETS).is_empty(),
        "states out of nothing"
    );
    let left = daemon::left_with(&metrics, usually)?;
    let opens = [("container", container.name())];
    container.connect(4)?;
    let metrics = monitor.metrics()?;
    let opened = metrics.value("container_network_tcp_active_opens_total", &opens)?;
    ensure!(opened == 4.0, "{opened} active opens, expected 4");
    monitor.stop()?;
    daemon::refuses_without_bpf(
        &["--require-ebpf"],
        &[&words[..], &["--require-ebpf"]].concat(),
    )?;
    Ok(left)
}

/// The kernel is locked down, from here on.
pub(crate) fn lockdown(mode: &str, usually: &Sources) -> Result<String> {
    let file = mounts::lockdown()?;
    if !file.exists() {
        return Err(Absent("no lockdown".to_owned()).into());
    }
    std::fs::write(file, mode).with_context(|| format!("cannot lock the kernel down: {mode}"))?;
    let monitor = daemon::start(&[])?;
    let attached = is_attached(&monitor.metrics()?)?;
    let reason = "the kernel is locked down";
    if !attached {
        daemon::says(&monitor, &[reason, "not counted"])?;
        daemon::refuses(&["--require-ebpf"], &[reason, "--require-ebpf"])?;
    }
    let log = monitor.log();
    ensure!(
        mode == "integrity" || log.iter().any(|line| line.contains(reason)),
        "it does not say why: {log:#?}"
    );
    right_numbers(monitor, usually)
}

fn is_attached(metrics: &Metrics) -> Result<bool> {
    Ok(metrics.value("container_monitor_ebpf_attached", &[])? == 1.0)
}

/// Plays something in a container, and demands the right numbers of it, as far as the daemon says
/// that it has some. Gives what it has.
pub(crate) fn right_numbers(monitor: Monitor, usually: &Sources) -> Result<String> {
    let container = Container::new()?;
    numbers_of(&monitor, &container)?;
    let left = daemon::left_with(&monitor.metrics()?, usually)?;
    monitor.stop()?;
    Ok(left)
}

/// The same in this container, which has done nothing yet.
pub(crate) fn numbers_of(monitor: &Monitor, container: &Container) -> Result<()> {
    let holding = super::container::holding(Some(&container.netns), &container.cgroup, 4)?;
    let metrics = monitor.metrics()?;
    let name = container.name();
    let (seen, judge) = (
        published::states(&metrics, name)?,
        proc_net_tcp::states(container.netns.pid())?,
    );
    ensure!(
        seen == judge && judge.len() == 2,
        "{seen:?}, /proc says {judge:?}"
    );
    drop(holding);
    container.connect(4)?;
    if is_attached(&metrics)? {
        // 4 by the play, 4 by what was held.
        transitions::opened(monitor, name, 8)?;
    } else {
        ensure!(
            metrics.series(transitions::FAMILY).is_empty(),
            "transitions out of nothing"
        );
    }
    counters::agrees(monitor, container)
}
