//! What flags and variables change, and that the help has them all.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::CommandFactory;
use container_monitor::cli::Cli;
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::{http, require};

use crate::{command, monitor, run};

/// Flags that users' scripts hang on.
const PROMISED: [&str; 14] = [
    "--web.listen-address",
    "--web.telemetry-path",
    "--path.procfs",
    "--path.sysfs",
    "--discovery",
    "--docker.endpoint",
    "--cri.endpoint",
    "--host-network",
    "--collector.sockstat",
    "--no-collector.sockstat",
    "--collector.netstat.fields",
    "--require-ebpf",
    "--log.level",
    "--log.format",
];

#[test]
fn help_has_every_flag_and_variable() -> Result<()> {
    let output = run(&["serve", "--help"])?;
    ensure!(output.status.success());
    let help = String::from_utf8(output.stdout)?;
    let cli = Cli::command();
    let serve = cli.find_subcommand("serve").context("no serve")?;
    let words: Vec<&str> = help
        .split(|c: char| c.is_whitespace() || "[]=<".contains(c))
        .collect();
    for argument in serve.get_arguments() {
        let flag = format!("--{}", argument.get_long().context("no flag")?);
        ensure!(words.contains(&&*flag), "no {flag} in the help");
        let variable = argument.get_env().and_then(|name| name.to_str());
        let is_negation = flag.starts_with("--no-") || flag == "--help";
        match variable {
            Some(name) => ensure!(words.contains(&name), "no {name} in the help"),
            None => ensure!(is_negation, "{flag} has no variable"),
        }
        let text = argument.get_help().or(argument.get_long_help());
        ensure!(text.is_some(), "{flag} is not explained");
    }
    for flag in PROMISED {
        ensure!(words.contains(&flag), "no {flag} in the help");
    }
    Ok(())
}

#[test]
fn version_is_the_package_s() -> Result<()> {
    let output = run(&["--version"])?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(
        said.trim() == concat!("container-monitor ", env!("CARGO_PKG_VERSION")),
        "{said}"
    );
    Ok(())
}

#[test]
fn variables_do_what_flags_do() -> Result<()> {
    testkit::require!(require::root());
    let netns = Netns::new("cli-variables")?;
    let mut command = command(&["serve", "--web.telemetry-path", "/by-flag"]);
    for (name, value) in [
        ("WEB_LISTEN_ADDRESS", "127.0.0.1:0"),
        // A flag comes before its variable.
        ("WEB_TELEMETRY_PATH", "/by-variable"),
        ("PATH_PROCFS", "/proc"),
        ("PATH_SYSFS", "/sys"),
        ("DISCOVERY", "cgroup"),
        ("HOST_NETWORK", "true"),
        ("COLLECTOR_SNMP", "false"),
        ("COLLECTOR_TRANSITIONS", "0"),
        ("COLLECTOR_NETSTAT", "true"),
        ("COLLECTOR_NETSTAT_FIELDS", "^TcpExt_TCPFastOpenActive$"),
        ("REQUIRE_EBPF", "false"),
        ("LOG_LEVEL", "debug"),
        ("LOG_FORMAT", "json"),
    ] {
        command.env(format!("CONTAINER_MONITOR_{name}"), value);
    }
    let monitor = Monitor::spawn(command)?;
    ensure!(monitor.get("/by-variable")?.status == 404);
    let metrics = Metrics::parse(&monitor.get("/by-flag")?.text()?)?;
    metrics.one("container_network_sockets_used", &[("container", "/")])?;
    ensure!(metrics.container_in(netns.inode())? == "cli-variables");
    ensure!(
        metrics
            .series("container_network_tcp_curr_estab")
            .is_empty()
    );
    let fast_open = "container_network_tcpext_fast_open_active_total";
    metrics.one(fast_open, &[("container", "cli-variables")])?;
    let log = monitor.log();
    ensure!(log.len() >= 2, "{log:?}");
    for line in &log {
        let line: serde_json::Value = serde_json::from_str(line).context(line.clone())?;
        ensure!(
            line["level"].is_string() && line["message"].is_string(),
            "{line}"
        );
        ensure!(line["timestamp"].is_string(), "{line}");
    }
    monitor.stop()?;
    Ok(())
}

type Labels = &'static [(&'static str, &'static str)];

/// A family of each collector that no other one has.
const FAMILIES: [(&str, &str, Labels); 5] = [
    (
        "sockstat",
        "container_network_sockets_inuse",
        &[("protocol", "tcp")],
    ),
    (
        "sockstat6",
        "container_network_sockets_inuse",
        &[("protocol", "tcp6")],
    ),
    ("snmp", "container_network_tcp_curr_estab", &[]),
    (
        "snmp6",
        "container_network_udp_no_ports_total",
        &[("family", "ipv6")],
    ),
    (
        "netstat",
        "container_network_tcpext_listen_drops_total",
        &[],
    ),
];

#[test]
fn each_collector_can_be_switched_off() -> Result<()> {
    testkit::require!(require::root());
    let _netns = Netns::new("cli-switched")?;
    for off in FAMILIES.map(|(name, ..)| name) {
        for flag in [
            format!("--no-collector.{off}"),
            format!("--collector.{off}=false"),
        ] {
            let metrics = monitor(&[&flag])?.metrics()?;
            for (name, family, labels) in FAMILIES {
                let labels = [&[("container", "cli-switched")], labels].concat();
                let there = !metrics.matching(family, &labels).is_empty();
                ensure!(there == (name != off), "{family} of {name} with {flag}");
                let success = "container_monitor_collector_success";
                let success = metrics.matching(success, &[("collector", name)]);
                ensure!(
                    success.len() == usize::from(name != off),
                    "{name} with {flag}"
                );
            }
        }
    }
    // The last word counts.
    let args = ["--no-collector.snmp", "--collector.snmp"];
    let metrics = monitor(&args)?.metrics()?;
    let labels = [("container", "cli-switched")];
    metrics.one("container_network_tcp_curr_estab", &labels)?;
    Ok(())
}

#[test]
fn more_fields_are_published() -> Result<()> {
    testkit::require!(require::root());
    let netns = Netns::new("cli-fields")?;
    let labels = [("container", "cli-fields")];
    let plain = monitor(&[])?.metrics()?;
    let fields = "^(Tcp_MaxConn|Ip_OutRequests|Ip6_OutRequests|TcpExt_TCPFastOpenActive)$";
    let monitor = monitor(&["--collector.netstat.fields", fields])?;
    netns.enter(|| {
        // One packet out: nobody listens.
        std::net::UdpSocket::bind("[::1]:0")?.send_to(b"x", "[::1]:9")?;
        Ok(())
    })?;
    let metrics = monitor.metrics()?;
    let names = |metrics: &Metrics| -> std::collections::BTreeSet<String> {
        let series = metrics.labelled(&labels);
        series.iter().map(|sample| sample.name.clone()).collect()
    };
    let (before, after) = (names(&plain), names(&metrics));
    let more: Vec<&String> = after.difference(&before).collect();
    ensure!(before.is_subset(&after) && more.len() == 4, "{more:?}");
    let file = netns.read("net/snmp6")?;
    let sent = file
        .lines()
        .find_map(|line| line.strip_prefix("Ip6OutRequests"));
    let sent: f64 = sent.context("no Ip6OutRequests")?.trim().parse()?;
    let name = "container_network_ip6_out_requests_total";
    ensure!(
        sent > 0.0 && metrics.value(name, &labels)? == sent,
        "{sent}"
    );

    let none = crate::monitor(&["--collector.netstat.fields", "^Nothing$"])?;
    let warned = |line: &String| line.contains(" WARN ") && line.contains("netstat.fields");
    ensure!(none.log().iter().any(warned), "{:?}", none.log());
    Ok(())
}

#[test]
fn several_addresses() -> Result<()> {
    testkit::require!(require::root());
    for args in [
        &["--web.listen-address", "[::1]:0"][..],
        &["--web.listen-address", "[::1]:0,127.0.0.1:0"],
        &["--web.listen-address=[::1]:0", "--web.listen-address=:0"],
    ] {
        let monitor = monitor(args)?;
        monitor.wait_ready()?;
        let log = monitor.log();
        let listening = log.iter().filter(|line| line.contains("listening"));
        let addresses: Vec<SocketAddr> = listening
            .filter_map(|line| {
                line.split("address=")
                    .nth(1)?
                    .split(' ')
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        // The first one is that of every quick start.
        ensure!(
            addresses.len() == 1 + args.join(",").matches(":0").count(),
            "{log:?}"
        );
        for address in &addresses {
            let ips = if address.ip().is_unspecified() {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            } else {
                vec![address.ip()]
            };
            for ip in ips {
                let answer = http::get(SocketAddr::new(ip, address.port()), "/healthz")?;
                ensure!(answer.status == 200, "{ip}: {}", answer.status);
            }
        }
        monitor.stop()?;
    }
    Ok(())
}

/// A folder with the host and one process of the real one stands for a proc file system that is
/// mounted elsewhere.
#[test]
fn another_proc_is_read() -> Result<()> {
    testkit::require!(require::root());
    let (shown, hidden) = (Netns::new("cli-proc-1")?, Netns::new("cli-proc-2")?);
    let folder = tempfile::tempdir()?;
    for name in ["1", "2", "sys", &shown.pid().to_string()] {
        symlink(Path::new("/proc").join(name), folder.path().join(name))?;
    }
    let path = folder.path().to_string_lossy();
    let metrics = monitor(&["--path.procfs", &path])?.metrics()?;
    ensure!(metrics.container_in(shown.inode())? == "cli-proc-1");
    ensure!(metrics.container_in(hidden.inode()).is_err());
    Ok(())
}
