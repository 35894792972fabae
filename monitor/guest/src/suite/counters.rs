//! Counters and gauges of namespaces, as published, beside the kernel's own files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};
use testkit::files::{Values, all_fields, differences, is_of_the_contract, namespace_values};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::stir::{RAISED_WITH_HOST, faults, stir_with_host};

use super::container::Container;
use super::daemon::{self, Sources};

/// More fields of `netstat` than there are metrics for: all of them.
const ALL_FIELDS: &str = "--collector.netstat.fields=.*";

/// Every counter, each raised to a number of its own, from every source that there is.
pub(crate) fn every_counter(usually: &Sources) -> Result<String> {
    let container = Container::new()?;
    stir_with_host(&container.netns)?;
    let faults = faults(&values(&container)?, RAISED_WITH_HOST);
    ensure!(faults.is_empty(), "not raised: {}", faults.join("; "));
    let held = container.netns.enter(gauges)?;
    for source in ["auto", "proc"] {
        let monitor = daemon::start(&[&format!("--collector.counters={source}")])?;
        agrees(&monitor, &container).with_context(|| source.to_owned())?;
        if source == "auto" {
            daemon::keeps_to(&monitor, usually)?;
        }
        monitor.stop()?;
    }
    drop(held);
    Ok("exact".to_owned())
}

/// Sockets of every protocol, of no two as many: a gauge that is another one's is seen.
fn gauges() -> Result<Vec<Socket>> {
    let mut held = Vec::new();
    let protocols = [
        (Domain::IPV4, Type::DGRAM, Protocol::UDP),
        (Domain::IPV6, Type::DGRAM, Protocol::UDP),
        (Domain::IPV4, Type::RAW, Protocol::ICMPV4),
        (Domain::IPV6, Type::RAW, Protocol::ICMPV6),
        (Domain::IPV4, Type::DGRAM, Protocol::UDPLITE),
        (Domain::IPV6, Type::DGRAM, Protocol::UDPLITE),
        (Domain::IPV4, Type::STREAM, Protocol::TCP),
        (Domain::IPV6, Type::STREAM, Protocol::TCP),
    ];
    for (number, (domain, kind, protocol)) in protocols.into_iter().enumerate() {
        for _ in 0..2 + number {
            let socket = match Socket::new(domain, kind, Some(protocol)) {
                Ok(socket) => socket,
                // Linux 7.2 has no UDP-Lite any more.
                Err(_) if protocol == Protocol::UDPLITE => break,
                Err(error) => return Err(error).context(format!("{protocol:?}")),
            };
            // Raw sockets speak one family in any case.
            if domain == Domain::IPV6 && kind != Type::RAW {
                socket.set_only_v6(true)?;
            }
            let address = match domain {
                Domain::IPV4 => IpAddr::from(Ipv4Addr::LOCALHOST),
                _ => Ipv6Addr::LOCALHOST.into(),
            };
            socket.bind(&SocketAddr::new(address, 0).into())?;
            if protocol == Protocol::TCP {
                socket.listen(1)?;
            }
            held.push(socket);
        }
    }
    Ok(held)
}

/// Every field of every file, under the name that its help says.
pub(crate) fn every_file(usually: &Sources) -> Result<String> {
    let container = Container::new()?;
    container
        .netns
        .enter(|| testkit::workload::connect_to_self("[::1]:80".parse()?, 3))?;
    let monitor = daemon::start(&[ALL_FIELDS])?;
    let before = all_fields(container.netns.pid())?;
    let metrics = monitor.metrics()?;
    let after = all_fields(container.netns.pid())?;
    let mut names = std::collections::BTreeMap::new();
    for (name, help) in &metrics.help {
        let field = help
            .strip_prefix("Kernel field ")
            .and_then(|help| help.split_once(" of "));
        if let Some((field, file)) = field {
            let group = if file.ends_with("snmp6") { "" } else { " " };
            names.insert(field.replace(' ', group), name);
        }
    }
    for (field, first) in &before {
        if is_of_the_contract(field) {
            continue;
        }
        let name = names
            .get(field)
            .with_context(|| format!("{field} is not published"))?;
        let seen = metrics.value(name, &[("container", container.name())])?;
        let last = after.get(field).copied().unwrap_or(*first);
        ensure!(
            (first.min(last)..=first.max(last)).contains(&seen),
            "{name} is {seen}, the file says {first} to {last}"
        );
    }
    succeeded(&metrics, &[])?;
    let log = monitor.log();
    let trouble = log
        .iter()
        .find(|line| line.contains("WARN") || line.contains("ERROR"));
    ensure!(trouble.is_none(), "{log:#?}");
    daemon::keeps_to(&monitor, usually)?;
    monitor.stop()?;
    Ok("all".to_owned())
}

/// Demands what the files of a container's namespace say, from before and after a scrape.
pub(crate) fn agrees(monitor: &Monitor, container: &Container) -> Result<()> {
    let before = values(container)?;
    let metrics = monitor.metrics()?;
    let after = values(container)?;
    let labels = [
        ("namespace", ""),
        ("pod", ""),
        ("container", container.name()),
    ];
    let wrong = differences(&metrics, &labels, &before, &after);
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    succeeded(&metrics, &["transitions", "tcp-states"])
}

fn values(container: &Container) -> Result<Values> {
    let mut values = namespace_values(container.netns.pid())?;
    // Those of sock_diag come and go.
    values.retain(|(name, ..), _| name != "container_network_sockets_used");
    Ok(values)
}

/// Demands that every source of numbers could be read, but for these.
fn succeeded(metrics: &Metrics, but: &[&str]) -> Result<()> {
    for row in metrics.series("container_monitor_collector_success") {
        let collector = row.labels.get("collector").map_or("", String::as_str);
        ensure!(
            row.value == 1.0 || but.contains(&collector),
            "{collector} failed"
        );
    }
    Ok(())
}
