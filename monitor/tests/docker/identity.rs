//! Labels: every container under its own name, a shared namespace under one.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use testkit::child::{find_program, output};
use testkit::netns;
use testkit::prometheus::promtool_check_metrics;

use crate::fleet::Fleet;

/// A namespace-scoped family that every namespace has one series of.
const SCOPED: &str = "container_network_sockets_used";
const INFO: &str = "container_network_info";

pub(crate) fn every_container_has_its_info(fleet: &mut Fleet) -> Result<()> {
    let metrics = fleet.scrape(&[])?;
    for container in &fleet.containers {
        let name = &container.name;
        let inspect = |format: &str| fleet.docker.inspect(name, format);
        let id = inspect("{{.Id}}")?;
        let labels = [("container_id", id.as_str())];
        let info = metrics.one(INFO, &labels).with_context(|| name.clone())?;
        for (label, value) in container.labels() {
            ensure!(info.labels[label] == value, "{name}: {label} in {info:?}");
        }
        let inode = netns::inode_of(fleet.docker.pid(name)?)?;
        for (label, value) in [
            ("image", inspect("{{.Config.Image}}")?),
            ("runtime", "docker".into()),
            ("netns", inode.to_string()),
            ("network_mode", inspect("{{.HostConfig.NetworkMode}}")?),
        ] {
            ensure!(
                info.labels[label] == value,
                "{name}: {label} is not {value:?} in {info:?}"
            );
        }
        ensure!(info.value == 1.0, "{info:?}");
    }
    let count = metrics.series(INFO).len();
    ensure!(count == fleet.containers.len(), "{count} infos");
    let counted = metrics.value("container_monitor_containers", &[("runtime", "docker")])?;
    ensure!(
        counted == count as f64,
        "container_monitor_containers is {counted}"
    );
    ensure!(metrics.value("container_monitor_discovery_up", &[("runtime", "docker")])? == 1.0);
    Ok(())
}

pub(crate) fn one_owner_a_namespace(fleet: &mut Fleet) -> Result<()> {
    let metrics = fleet.scrape(&[])?;
    let mut inodes = BTreeSet::new();
    for container in fleet.containers.iter().filter(|c| !c.host_network) {
        inodes.insert(netns::inode_of(fleet.docker.pid(&container.name)?)?);
    }
    let series = metrics.series(SCOPED);
    ensure!(
        series.len() == inodes.len(),
        "{} for {} namespaces",
        series.len(),
        inodes.len()
    );
    let read = metrics.value("container_monitor_network_namespaces", &[])?;
    ensure!(
        read == inodes.len() as f64,
        "container_monitor_network_namespaces is {read}"
    );
    for sample in series {
        let labels: Vec<&str> = sample.labels.keys().map(String::as_str).collect();
        ensure!(labels == ["container", "namespace", "pod"], "{sample:?}");
    }
    // `side` joined `web-0`: its sockets are counted there.
    metrics.one(SCOPED, &[("container", "web-0")])?;
    ensure!(
        metrics
            .matching(SCOPED, &[("container", "side")])
            .is_empty(),
        "side"
    );
    let netns = |name| Ok(&metrics.one(INFO, &[("container", name)])?.labels["netns"]);
    let (own, joined): (Result<_>, Result<_>) = (netns("web-0"), netns("side"));
    ensure!(own? == joined?, "web-0 and side differ in netns");
    Ok(())
}

pub(crate) fn host_network(fleet: &mut Fleet) -> Result<()> {
    // What is a fact of the container itself.
    let own = [
        INFO,
        "container_network_tcp_transitions_total",
        "container_network_tcp_sockets",
    ];
    let files = ["container_filesystem_", "container_disk_"];
    let scoped = |sample: &&testkit::metrics::Sample| {
        !own.contains(&&*sample.name) && !files.iter().any(|name| sample.name.starts_with(name))
    };
    let metrics = fleet.scrape(&[])?;
    for name in ["hosty", "/"] {
        let series = metrics.labelled(&[("container", name)]);
        let series: Vec<_> = series.into_iter().filter(scoped).collect();
        ensure!(
            series.is_empty(),
            "{name} without --host-network: {series:?}"
        );
    }
    let metrics = fleet.scrape(&["--host-network"])?;
    metrics.one(
        SCOPED,
        &[("container", "/"), ("namespace", ""), ("pod", "")],
    )?;
    ensure!(
        metrics
            .matching(SCOPED, &[("container", "hosty")])
            .is_empty(),
        "hosty"
    );
    Ok(())
}

pub(crate) fn pods(fleet: &mut Fleet) -> Result<()> {
    let metrics = fleet.scrape(&[])?;
    for pod in ["shop-0", "shop-1"] {
        // One namespace for three containers, under the pod's name alone.
        let labels = [("namespace", "default"), ("pod", pod)];
        let sample = metrics.one(SCOPED, &labels)?;
        ensure!(sample.labels["container"].is_empty(), "{sample:?}");
        let infos = metrics.matching(INFO, &labels);
        let names: BTreeSet<&str> = infos
            .iter()
            .map(|s| s.labels["container"].as_str())
            .collect();
        ensure!(names == BTreeSet::from(["", "app", "proxy"]), "{names:?}");
        let inodes: BTreeSet<&str> = infos.iter().map(|s| s.labels["netns"].as_str()).collect();
        ensure!(inodes.len() == 1, "{inodes:?}");
    }
    Ok(())
}

pub(crate) fn host_interfaces(fleet: &mut Fleet) -> Result<()> {
    let metrics = fleet.scrape(&[])?;
    let ip = find_program("ip").context("no ip")?;
    for name in ["web-0", "web-7", "k8s_POD_shop-0_default"] {
        let pid = fleet.docker.pid(name)?;
        // `2: eth0@if17: <…`: 17 is the number of the other end.
        let line = output(netns::command(pid, &ip)?.args(["-o", "link", "show", "eth0"]))?;
        let peer = line
            .split("@if")
            .nth(1)
            .and_then(|rest| rest.split(':').next());
        let peer = peer.with_context(|| line.clone())?;
        let host_end = interface(peer)?;
        let id = fleet.docker.inspect(name, "{{.Id}}")?;
        let info = metrics.one(INFO, &[("container_id", &id)])?;
        ensure!(
            info.labels["host_interface"] == host_end,
            "{host_end}: {info:?}"
        );
        ensure!(info.labels["interface"] == "eth0", "{info:?}");
    }
    let lonely = metrics.one(INFO, &[("container", "lonely")])?;
    ensure!(lonely.labels["host_interface"].is_empty(), "{lonely:?}");
    Ok(())
}

/// The name of the host's interface with this number.
fn interface(index: &str) -> Result<String> {
    for entry in std::fs::read_dir("/sys/class/net")? {
        let path = entry?.path();
        let number = std::fs::read_to_string(path.join("ifindex")).unwrap_or_default();
        if number.trim() == index {
            let name = path.file_name().context("no name")?;
            return Ok(name.to_string_lossy().into_owned());
        }
    }
    anyhow::bail!(
        "no interface has the number {index} under {}",
        Path::new("/sys/class/net").display()
    )
}

pub(crate) fn the_text_format(fleet: &mut Fleet) -> Result<()> {
    let monitor = fleet.monitor(&["--host-network"])?;
    let text = monitor.get("/metrics")?.text()?;
    promtool_check_metrics(&text)?;
    let metrics = testkit::metrics::Metrics::parse(&text)?;
    for sample in &metrics.samples {
        let of = |suffix: &str| {
            sample
                .name
                .strip_suffix(suffix)
                .unwrap_or(&sample.name)
                .to_owned()
        };
        let family = [sample.name.clone(), of("_bucket"), of("_sum"), of("_count")];
        let known =
            |name: &String| metrics.types.contains_key(name) && metrics.help.contains_key(name);
        ensure!(
            family.iter().any(known),
            "{} has no type or help",
            sample.name
        );
    }
    monitor.stop()?;
    Ok(())
}
