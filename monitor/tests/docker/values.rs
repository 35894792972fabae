//! Values: equal to the namespace's own files, to `ss`, and to what was really done.

use anyhow::{Context, Result, ensure};
use testkit::files::{differences, namespace_values};
use testkit::metrics::Metrics;
use testkit::{require, ss};

use crate::fleet::{BACKLOG, Fleet, HELD, LEAKS};

pub(crate) fn values_are_the_files(fleet: &mut Fleet) -> Result<()> {
    let monitor = fleet.monitor(&[])?;
    let mut owners = Vec::new();
    for container in &fleet.containers {
        let joined = fleet
            .docker
            .inspect(&container.name, "{{.HostConfig.NetworkMode}}")?;
        if !container.host_network
            && !joined.starts_with("container:")
            && container.name != "leaderless"
        {
            owners.push((container, fleet.docker.pid(&container.name)?));
        }
    }
    let values = |pid: &u32| namespace_values(*pid);
    let before: Vec<_> = owners
        .iter()
        .map(|(_, pid)| values(pid))
        .collect::<Result<_>>()?;
    let metrics = monitor.metrics()?;
    let mut wrong = Vec::new();
    for ((container, pid), before) in owners.iter().zip(&before) {
        wrong.extend(differences(
            &metrics,
            &container.labels(),
            before,
            &values(pid)?,
        ));
    }
    ensure!(
        wrong.is_empty(),
        "{} wrong values\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    monitor.stop()?;
    Ok(())
}

pub(crate) fn values_are_those_of_ss(fleet: &mut Fleet) -> Result<()> {
    let metrics = fleet.scrape(&[])?;
    for name in ["held", "leak", "full", "web-1", "lonely"] {
        let states = ss::states(fleet.docker.pid(name)?)?;
        let count = |state| ss::total(&states, state) as f64;
        let value = |metric: &str| metrics.value(metric, &[("container", name)]);
        let estab = value("container_network_tcp_curr_estab")?;
        ensure!(
            estab == count("established") + count("close_wait"),
            "{name}: {estab}, {states:?}"
        );
        // The leaking container's clients may leave FIN_WAIT2 between both looks.
        let waiting = value("container_network_tcp_time_wait_sockets")?;
        let seen = count("time_wait") + count("fin_wait2");
        ensure!(
            waiting == seen || name == "leak",
            "{name}: {waiting}, {states:?}"
        );
        for (family, protocol) in [("ipv4", "tcp"), ("ipv6", "tcp6")] {
            let full: u64 = states
                .iter()
                .filter(|((of, state), _)| *of == family && is_full_and_hashed(state))
                .map(|(_, count)| count)
                .sum();
            let labels = [("container", name), ("protocol", protocol)];
            let inuse = metrics.value("container_network_sockets_inuse", &labels)?;
            ensure!(
                inuse == full as f64,
                "{name}: {protocol} {inuse}, {states:?}"
            );
        }
    }
    let estab = |name| metrics.value("container_network_tcp_curr_estab", &[("container", name)]);
    ensure!(estab("held")? == 2.0 * HELD as f64, "held");
    ensure!(estab("leak")? == LEAKS as f64, "leak");
    // The queue has one more than its length, each with an established client.
    ensure!(estab("full")? == 2.0 * f64::from(BACKLOG + 1), "full");
    let overflows = "container_network_tcpext_listen_overflows_total";
    ensure!(
        metrics.value(overflows, &[("container", "full")])? >= 1.0,
        "no overflow"
    );
    ensure!(
        metrics.value(overflows, &[("container", "held")])? == 0.0,
        "held overflows"
    );
    let udp = [("container", "udp"), ("protocol", "udp")];
    ensure!(
        metrics.value("container_network_sockets_inuse", &udp)? >= 1.0,
        "udp"
    );
    Ok(())
}

/// What sockstat's `inuse` counts.
fn is_full_and_hashed(state: &str) -> bool {
    // FIN_WAIT2 of a closed socket is a minisock within milliseconds of its entering it.
    !matches!(state, "time_wait" | "fin_wait2" | "syn_recv" | "close")
}

pub(crate) fn a_thousand_connections(fleet: &mut Fleet) -> Result<()> {
    const COUNT: u64 = 1_000;
    let monitor = fleet.monitor(&[])?;
    let before = monitor.metrics()?;
    fleet.connect("web-3", COUNT, &[])?;
    let after = monitor.metrics()?;
    let grown = |metric: &str, labels: &[(&str, &str)]| {
        let labels = [labels, &[("container", "web-3")]].concat();
        after.sum(metric, &labels) - before.sum(metric, &labels)
    };
    for metric in ["active_opens", "passive_opens"] {
        let grown = grown(&format!("container_network_tcp_{metric}_total"), &[]);
        ensure!(grown == COUNT as f64, "{metric} grew by {grown}");
    }
    if !require::met(&[require::btf(), require::bpf()]) {
        return Ok(());
    }
    ensure!(
        attached(&after)?,
        "the eBPF program is not attached: {:?}",
        monitor.log()
    );
    for (old, new) in [
        ("close", "syn_sent"),
        ("syn_sent", "established"),
        ("listen", "syn_recv"),
        ("syn_recv", "established"),
        ("established", "fin_wait1"),
        ("established", "close_wait"),
        ("close_wait", "last_ack"),
        ("last_ack", "close"),
    ] {
        let labels = [("old_state", old), ("new_state", new)];
        let seen = grown("container_network_tcp_transitions_total", &labels);
        let off = (seen - COUNT as f64).abs();
        ensure!(off <= COUNT as f64 / 100.0, "{old} to {new} grew by {seen}");
    }
    // A quiet neighbour saw none of it.
    let quiet = [("container", "web-4"), ("new_state", "syn_sent")];
    ensure!(
        after.sum("container_network_tcp_transitions_total", &quiet) == 0.0,
        "web-4"
    );
    monitor.stop()?;
    Ok(())
}

fn attached(metrics: &Metrics) -> Result<bool> {
    let programs = metrics.series("container_monitor_ebpf_attached");
    ensure!(!programs.is_empty(), "no container_monitor_ebpf_attached");
    Ok(programs.iter().any(|program| program.value == 1.0))
}

/// The container's first process is a zombie whose threads live on; Docker still gives its id.
pub(crate) fn an_exited_leader(fleet: &mut Fleet) -> Result<()> {
    let pid = fleet.docker.pid("leaderless")?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ensure!(stat.contains(") Z "), "the leader lives: {stat}");
    let metrics = fleet.scrape(&[])?;
    let labels = [("container", "leaderless")];
    let listening = [("container", "leaderless"), ("protocol", "tcp")];
    let inuse = metrics.value("container_network_sockets_inuse", &listening);
    ensure!(inuse.context("the exited leader hides the container")? == 1.0);
    metrics.one("container_network_info", &labels)?;
    Ok(())
}
