//! Where the kernel's tables cannot be read, or would be read wrongly, the numbers are the same:
//! sock_diag and the files take over, and the monitor says so.

mod lie;

use std::net::{TcpListener, TcpStream};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use testkit::child::{find_program, finish};
use testkit::files::{Values, differences, namespace_values};
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::{published, require, ss, wait};

use crate::{EXE, SOON, states_in};

const SERVE: [&str; 5] = [
    "serve",
    "--discovery=cgroup",
    "--web.listen-address=127.0.0.1:0",
    "--no-collector.transitions",
    "--collector.tcp-states.min-interval=0s",
];

/// Some sockets in a namespace of their own.
fn scene(name: &str) -> Result<(Netns, Vec<TcpStream>, TcpListener)> {
    let netns = Netns::new(name)?;
    let (streams, listener) = netns.enter(|| {
        let listener = TcpListener::bind("127.0.0.1:80")?;
        let mut streams = Vec::new();
        for number in 0..9 {
            let client = TcpStream::connect("127.0.0.1:80")?;
            let server = listener.accept()?.0;
            if number % 3 > 0 {
                streams.push(server);
            }
            if number % 3 < 2 {
                streams.push(client);
            }
        }
        Ok((streams, listener))
    })?;
    // An acknowledgement may take its time.
    wait::until("all ends are at rest", SOON, || {
        let states = ss::states(netns.pid())?;
        Ok((ss::total(&states, "fin_wait1") == 0).then_some(()))
    })?;
    Ok((netns, streams, listener))
}

/// Demands right numbers from these sources, and one line with all of `words`.
fn right_numbers(monitor: &Monitor, states: &str, counters: &str, words: &[&str]) -> Result<()> {
    let scene = scene("st-fallback")?;
    monitor.wait_ready()?;
    let values = || -> Result<Values> {
        let mut values = namespace_values(scene.0.pid())?;
        // Those of ss and of sock_diag come and go.
        values.retain(|(name, ..), _| name != "container_network_sockets_used");
        Ok(values)
    };
    let before = values()?;
    let metrics = monitor.metrics()?;
    let after = values()?;
    for (family, source) in [("tcp_states", states), ("counters", counters)] {
        let name = format!("container_monitor_{family}_source");
        let in_use = metrics.value(&name, &[("source", source)])?;
        ensure!(in_use == 1.0, "{source} is not used: {:?}", monitor.log());
    }
    let (seen, judge) = (states_in(&metrics, &scene.0)?, ss::states(scene.0.pid())?);
    ensure!(
        seen == judge && seen.len() >= 4,
        "{seen:?}, by ss {judge:?}"
    );
    let container = metrics.container_in(scene.0.inode())?;
    let labels = [("namespace", ""), ("pod", ""), ("container", container)];
    let wrong = differences(&metrics, &labels, &before, &after);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let log = monitor.log();
    let line = |line: &&String| words.iter().all(|word| line.contains(word));
    ensure!(
        words.is_empty() || log.iter().filter(line).count() == 1,
        "not one line with {words:?}: {log:#?}"
    );
    Ok(())
}

/// Demands the end, with one line that has all of `words`.
fn ends(mut command: Command, flag: &str, words: &[&str]) -> Result<()> {
    command.arg(flag);
    let output = finish(command, SOON)?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    ensure!(
        output.status.code() == Some(1) && errors.len() == 1,
        "{log}"
    );
    for word in words.iter().chain(&[flag]) {
        ensure!(errors[0].contains(word), "no {word} in {log}");
    }
    Ok(())
}

fn serve(more: &[&str]) -> Command {
    let mut command = Command::new(EXE);
    command.args(SERVE).args(more);
    command
}

#[test]
fn what_was_asked_for_is_used() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::program("ss"));
    for (states, counters) in [
        ("kernel", "kernel"),
        ("kernel", "proc"),
        ("sock_diag", "kernel"),
        ("sock_diag", "proc"),
    ] {
        let states_flag = format!("--collector.tcp-states={states}");
        let counters_flag = format!("--collector.counters={counters}");
        let monitor = Monitor::spawn(serve(&[&states_flag, &counters_flag]))?;
        right_numbers(&monitor, states, counters, &[])?;
        monitor.stop()?;
    }
    Ok(())
}

#[test]
fn nothing_is_published_where_it_is_off() -> Result<()> {
    testkit::require!(require::root());
    let scene = scene("st-off")?;
    let monitor = Monitor::spawn(serve(&["--collector.tcp-states=off"]))?;
    monitor.wait_ready()?;
    let metrics = monitor.metrics()?;
    for family in [
        published::SOCKETS,
        published::QUEUE,
        published::LIMIT,
        crate::MISMATCH,
    ] {
        ensure!(metrics.series(family).is_empty(), "{family}");
    }
    let source = "container_monitor_tcp_states_source";
    ensure!(metrics.value(source, &[("source", "off")])? == 1.0);
    let collector = [("collector", "tcp-states")];
    ensure!(
        metrics
            .matching("container_monitor_collector_success", &collector)
            .is_empty()
    );
    drop(scene);
    monitor.stop()?;
    Ok(())
}

#[test]
fn no_btf() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::program("ss"));
    let empty = tempfile::tempdir()?;
    let sysfs = format!("--path.sysfs={}", empty.path().display());
    let words = ["no BTF at", "CONFIG_DEBUG_INFO_BTF"];
    let monitor = Monitor::spawn(serve(&[&sysfs]))?;
    let more = [&words[..], &["sock_diag", "/proc"]].concat();
    right_numbers(&monitor, "sock_diag", "proc", &more)?;
    monitor.stop()?;
    ends(serve(&[&sysfs]), "--collector.tcp-states=kernel", &words)?;
    let off = [&*sysfs, "--collector.tcp-states=off"];
    ends(serve(&off), "--collector.counters=kernel", &words)
}

#[test]
fn no_right() -> Result<()> {
    testkit::require!(require::root(), require::program("setpriv"));
    testkit::require!(require::btf(), require::program("ss"));
    // Entering namespaces needs CAP_SYS_ADMIN, which would be a right to use bpf(2) too: so a
    // process without the others has to do without both.
    let bounded = |less: &str| {
        let mut command = Command::new(find_program("setpriv").unwrap_or_default());
        command.arg(format!("--bounding-set={less}"));
        command.arg(EXE).args(SERVE);
        command
    };
    let words = ["CAP_BPF", "CAP_PERFMON"];
    let less = "-sys_admin,-bpf,-perfmon";
    let scene = scene("st-no-right")?;
    let monitor = Monitor::spawn(bounded(less))?;
    monitor.wait_ready()?;
    let metrics = monitor.metrics()?;
    let log = monitor.log();
    let line = |line: &&String| words.iter().all(|word| line.contains(word));
    ensure!(log.iter().filter(line).count() == 1, "{log:#?}");
    // No state is a number where none can be had; the counters come from the files.
    ensure!(metrics.series(published::SOCKETS).is_empty());
    let success = "container_monitor_collector_success";
    ensure!(metrics.value(success, &[("collector", "tcp-states")])? == 0.0);
    ensure!(metrics.value(success, &[("collector", "netstat")])? == 1.0);
    drop(scene);
    monitor.stop()?;
    ends(bounded(less), "--collector.tcp-states=kernel", &words)
}

/// BTF that does not fit the kernel leads to wrong reads, never to wrong numbers.
#[test]
fn btf_that_lies() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::program("ss"));
    let all = ("sock_diag", "proc");
    for (structure, member, bytes, (states, counters)) in [
        ("sock_common", "skc_family", 2, ("sock_diag", "kernel")),
        ("sock_common", "skc_state", 1, ("sock_diag", "kernel")),
        ("sock_common", "skc_num", 2, ("sock_diag", "kernel")),
        ("sock_common", "skc_net", 8, ("sock_diag", "kernel")),
        ("sock_common", "skc_node", 8, ("kernel", "kernel")),
        ("sock_common", "skc_nulls_node", 8, ("sock_diag", "kernel")),
        (
            "inet_timewait_sock",
            "tw_substate",
            1,
            ("sock_diag", "kernel"),
        ),
        ("sock", "sk_ack_backlog", 4, ("sock_diag", "kernel")),
        ("sock", "sk_max_ack_backlog", 4, ("sock_diag", "kernel")),
        ("inet_hashinfo", "ehash", 8, ("sock_diag", "kernel")),
        ("inet_hashinfo", "ehash_mask", 8, ("sock_diag", "kernel")),
        ("inet_hashinfo", "lhash2", 8, ("sock_diag", "kernel")),
        ("net", "ipv4", 8, ("sock_diag", "kernel")),
        ("net", "mib", 8, ("kernel", "proc")),
        ("net", "mib", 1 << 20, ("kernel", "proc")),
        ("bpf_array", "aux", 8, ("kernel", "kernel")),
        // Namespaces are known by their cookies.
        ("ns_common", "inum", 4, ("kernel", "kernel")),
        ("net", "net_cookie", 8, all),
        // Only the own namespace is met: the others are read from their files.
        ("net", "list", 8, ("kernel", "kernel")),
        ("task_struct", "nsproxy", 8, all),
        ("nsproxy", "net_ns", 8, all),
    ] {
        let sysfs = lie::sysfs(structure, member, bytes)?;
        let flag = format!("--path.sysfs={}", sysfs.path().display());
        let monitor = Monitor::spawn(serve(&[&flag]))?;
        right_numbers(&monitor, states, counters, &[])
            .with_context(|| format!("{structure}.{member} moved by {bytes} bytes"))?;
        monitor.stop()?;
    }
    Ok(())
}
