//! Names: of odd processes, of processes with one name, of `ip netns`, and the host's.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use testkit::child::find_program;
use testkit::files::{Values, differences, namespace_values};
use testkit::metrics::Metrics;
use testkit::netns::{Netns, inode_of};
use testkit::prometheus::promtool_check_metrics;
use testkit::require;

use crate::monitor;

/// A namespace whose process has any bytes as its command name.
fn with_command_name(name: &[u8]) -> Result<Netns> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join(OsStr::from_bytes(name));
    symlink(find_program("sleep").context("no sleep")?, &program)?;
    let mut command = Command::new(program);
    command.arg("infinity");
    Netns::with_holder(command)
}

#[test]
fn any_command_name_makes_a_valid_exposition() -> Result<()> {
    testkit::require!(require::root());
    let names: [&[u8]; 6] = [
        b"a\"b\\c\nd",
        b"x) Z 1 (y",
        b"\xff\xfe\xc3z",
        "\u{00fc}ml\u{00e4}ut-\u{4e2d}".as_bytes(),
        b"}{le=\"1\"} 9 ",
        b"\\",
    ];
    let namespaces = names
        .iter()
        .map(|name| with_command_name(name))
        .collect::<Result<Vec<_>>>()?;
    let monitor = monitor(&[])?;
    let text = monitor.get("/metrics")?.text()?;
    let metrics = Metrics::parse(&text)?;
    for (name, netns) in names.iter().zip(&namespaces) {
        let seen = metrics.container_in(netns.inode())?;
        // The kernel cuts a command name after 15 bytes.
        let expected = String::from_utf8_lossy(&name[..name.len().min(15)]);
        ensure!(seen == expected, "{seen:?}, not {expected:?}");
        metrics.one("container_network_tcp_curr_estab", &[("container", seen)])?;
    }
    if require::met(&[require::program("promtool")]) {
        promtool_check_metrics(&text)?;
    }
    Ok(())
}

#[test]
fn two_with_one_name_are_two() -> Result<()> {
    testkit::require!(require::root());
    let first = Netns::new("ns-twin")?;
    let monitor = monitor(&[])?;
    ensure!(monitor.metrics()?.container_in(first.inode())? == "ns-twin");
    let second = Netns::new("ns-twin")?;
    let udp = second.enter(|| Ok(std::net::UdpSocket::bind("127.0.0.1:0")?))?;
    let metrics = monitor.metrics()?;
    let name = metrics.container_in(second.inode())?.to_owned();
    ensure!(name == format!("ns-twin-{}", second.inode()), "{name}");
    ensure!(metrics.container_in(first.inode())? == "ns-twin");
    for (netns, container) in [(&first, "ns-twin"), (&second, &name)] {
        let values = namespace_values(netns.pid())?;
        let wrong = differences(&metrics, &[("container", container)], &values, &values);
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    // The one that is left keeps its name: its counters go on in the same series.
    drop(first);
    ensure!(monitor.metrics()?.container_in(second.inode())? == name);
    drop(udp);
    Ok(())
}

#[test]
fn the_name_of_ip_netns_comes_first() -> Result<()> {
    testkit::require!(require::root());
    let name = format!("cm-named-{}", std::process::id());
    let netns = Netns::named(&name)?;
    let monitor = monitor(&[])?;
    let metrics = monitor.metrics()?;
    ensure!(metrics.container_in(netns.inode())? == name);
    Ok(())
}

#[test]
fn the_host_is_there_when_asked_for() -> Result<()> {
    testkit::require!(require::root());
    let host = [("namespace", ""), ("pod", ""), ("container", "/")];
    // This test's own namespace, since process 1 may be out of reach.
    let pid = std::process::id();
    let inode = inode_of(pid)?.to_string();
    let without = monitor(&[])?.metrics()?;
    ensure!(without.labelled(&host).is_empty(), "the host is there");
    ensure!(without.labelled(&[("netns", &inode)]).is_empty());
    // Its own families are there in any case, once.
    without.one("container_monitor_host_tcp_allocated_sockets", &[])?;

    let monitor = monitor(&["--host-network"])?;
    // Both ends of the scrape's own connection are the host's.
    let values = || -> Result<Values> {
        let mut values = namespace_values(pid)?;
        for (name, label, value) in [
            ("container_network_sockets_used", "", ""),
            ("container_network_sockets_inuse", "protocol", "tcp"),
            ("container_network_tcp_curr_estab", "", ""),
        ] {
            let value = values.get_mut(&(name.to_owned(), label, value));
            *value.context(name)? += 2.0;
        }
        Ok(values)
    };
    // The host does not stand still, and a gauge may go up and down between both looks.
    let mut wrong = Vec::new();
    for _ in 0..10 {
        let before = values()?;
        let metrics = monitor.metrics()?;
        wrong = differences(&metrics, &host, &before, &values()?);
        if wrong.is_empty() {
            return Ok(());
        }
    }
    anyhow::bail!("{}", wrong.join("\n"))
}
