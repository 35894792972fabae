//! The process that a namespace is read through: one of several, without its leader, a zombie.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use testkit::cgroup::Cgroup;
use testkit::child::{Process, has_ended};
use testkit::netns::{Netns, inode_of};
use testkit::{image, require, wait};

use crate::{SOON, monitor};

/// A sleeping process in the namespace.
fn sleeper(netns: &Netns) -> Result<Command> {
    let mut command = netns.command("sleep")?;
    command.arg("infinity");
    Ok(command)
}

#[test]
fn several_processes_are_one_container() -> Result<()> {
    testkit::require!(require::root());
    let netns = Netns::new("ns-shared")?;
    let others = (0..3)
        .map(|_| Process::spawn(sleeper(&netns)?))
        .collect::<Result<Vec<_>>>()?;
    let metrics = monitor(&[])?.metrics()?;
    ensure!(metrics.container_in(netns.inode())? == "ns-shared");
    let labels = [("container", "ns-shared")];
    metrics.one("container_network_tcp_curr_estab", &labels)?;
    // As many namespaces were read as the containers stand in.
    let infos = metrics.series("container_network_info");
    let namespaces: BTreeSet<_> = infos.iter().map(|info| &info.labels["netns"]).collect();
    let read = metrics.value("container_monitor_network_namespaces", &[])?;
    ensure!(read == namespaces.len() as f64, "{read} were read");
    drop(others);
    Ok(())
}

#[test]
fn containers_that_share_a_namespace_are_read_once() -> Result<()> {
    testkit::require!(require::root(), require::cgroup2());
    let cgroups = [Cgroup::docker()?, Cgroup::docker()?, Cgroup::docker()?];
    let netns = Netns::new("ns-pod")?;
    let mut processes = Vec::new();
    for cgroup in &cgroups {
        let mut command = sleeper(&netns)?;
        cgroup.put(&mut command)?;
        processes.push(Process::spawn(command)?);
        // Start times count hundredths of a second; the first one is to be the oldest.
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    let metrics = monitor(&[])?.metrics()?;
    let inode = netns.inode().to_string();
    let infos = metrics.matching("container_network_info", &[("netns", &inode)]);
    ensure!(infos.len() == cgroups.len(), "{infos:?}");
    for cgroup in &cgroups {
        let labels = [
            ("container", cgroup.short_id()),
            ("container_id", cgroup.id()),
            ("runtime", "docker"),
            ("netns", &inode),
        ];
        metrics.one("container_network_info", &labels)?;
    }
    let counted = |container| {
        let labels = [("container", container)];
        let sockets = metrics.matching("container_network_sockets_used", &labels);
        sockets.len()
    };
    let seen: Vec<_> = cgroups.iter().map(|c| counted(c.short_id())).collect();
    ensure!(seen == [1, 0, 0], "the oldest owns it: {seen:?}");
    // A process without an id beside them is no container of its own.
    ensure!(counted("ns-pod") == 0);
    drop(processes);
    Ok(())
}

/// The leader has exited and is a zombie, its threads live on; `net/*` of the leader is gone.
#[test]
fn an_exited_leader_hides_nothing() -> Result<()> {
    testkit::require!(require::root());
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("ns-leaderless");
    std::fs::copy(image::workload()?, &program)?;
    let mut command = Command::new(program);
    command.args(["leaderless", "127.0.0.1:80"]);
    let netns = Netns::with_holder(command)?;
    let pid = netns.pid();
    let child = wait::until("its leader has exited", SOON, || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Ok(if stat.contains(") Z ") {
            child_of(pid)?
        } else {
            None
        })
    })?;
    // The sleeping process that it started would answer in its place.
    end(child)?;
    ensure!(std::fs::metadata(format!("/proc/{pid}/ns/net")).is_err());
    ensure!(inode_of(pid)? == netns.inode(), "no thread lives");
    let monitor = monitor(&[])?;
    // The second scrape goes through what the first one kept.
    for _ in 0..2 {
        let metrics = monitor.metrics()?;
        let name = metrics.container_in(netns.inode())?;
        ensure!(name == "ns-leaderless", "{name}");
        let labels = [("container", name), ("protocol", "tcp")];
        ensure!(metrics.value("container_network_sockets_inuse", &labels)? == 1.0);
    }
    drop(netns);
    let left = monitor.metrics()?;
    ensure!(left.labelled(&[("container", "ns-leaderless")]).is_empty());
    Ok(())
}

/// The process that was started by any thread of `pid`.
fn child_of(pid: u32) -> Result<Option<u32>> {
    for process in std::fs::read_dir("/proc")? {
        let name = process?.file_name();
        let Some(other) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(format!("/proc/{other}/stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1));
        if parent == Some(&*pid.to_string()) {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

fn end(pid: u32) -> Result<()> {
    let number = i32::try_from(pid)?;
    let number = rustix::process::Pid::from_raw(number).context("no process id")?;
    rustix::process::kill_process(number, rustix::process::Signal::KILL)?;
    wait::until("the child has ended", SOON, || {
        Ok(has_ended(pid).then_some(()))
    })
}

#[test]
fn a_zombie_has_no_namespace_and_hides_none() -> Result<()> {
    testkit::require!(require::root());
    let mut alone = Netns::new("ns-zombie-1")?;
    let mut shared = Netns::new("ns-zombie-2")?;
    let heir = Process::spawn(sleeper(&shared)?)?;
    let monitor = monitor(&[])?;
    let before = monitor.metrics()?;
    before.one("container_network_info", &[("container", "ns-zombie-1")])?;
    ensure!(before.container_in(shared.inode())? == "ns-zombie-2");
    for netns in [&mut alone, &mut shared] {
        // Killed and not waited for.
        netns.holder.child().kill()?;
        let pid = netns.pid();
        wait::until("it is a zombie", SOON, || Ok(has_ended(pid).then_some(())))?;
        ensure!(std::fs::exists(format!("/proc/{pid}/stat"))?, "no zombie");
    }
    let metrics = monitor.metrics()?;
    ensure!(metrics.labelled(&[("container", "ns-zombie-1")]).is_empty());
    // The namespace lives on, now with the other process's name.
    let name = metrics.container_in(shared.inode())?;
    ensure!(name.starts_with("sleep"), "{name}");
    metrics.one("container_network_tcp_curr_estab", &[("container", name)])?;
    ensure!(metrics.labelled(&[("container", "ns-zombie-2")]).is_empty());
    drop(heir);
    Ok(())
}
