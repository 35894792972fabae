//! Whose the sockets are, and namespaces that end.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use container_monitor::tcp::sock_diag::{Outcome, Target, dump};
use monitor_ebpf::{Family, TcpState};
use testkit::cgroup::Cgroup;
use testkit::netns::Netns;
use testkit::{child, image, require, wait};

use crate::scene::Scene;
use crate::{KEY, SOON, V4, V6, dump_one, process, sum};

/// The cgroup's id as the kernel has it, which is its inode number.
fn cgroup_of(pid: u32) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let table = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = table.lines().find_map(|line| line.strip_prefix("0::/"));
    let root = testkit::cgroup::root().context("no cgroup2")?;
    Ok(std::fs::metadata(root.join(path.context("in no cgroup2")?))?.ino())
}

#[test]
fn each_cgroup_has_its_own() -> Result<()> {
    testkit::require!(require::root(), require::cgroup2());
    let (server, client) = (Cgroup::docker()?, Cgroup::docker()?);
    let netns = Netns::new("sd-cgroups")?;
    let start = |cgroup: &Cgroup, args: &[&str]| {
        let mut command: Command = netns.command(image::workload()?)?;
        command.args(args).stdout(Stdio::null());
        cgroup.put(&mut command)?;
        child::Process::spawn(command)
    };
    let serving = start(&server, &["serve", "127.0.0.1:80", "--backlog", "7"])?;
    wait::until("it listens", SOON, || {
        let text = netns.read("net/sockstat")?;
        Ok(text.contains("TCP: inuse 1 ").then_some(()))
    })?;
    let holding = start(&client, &["connect", "127.0.0.1:80", "3", "--hold"])?;
    // In no container: closed by the client first, so that it leaves TIME_WAIT.
    let mut command = netns.command(image::workload()?)?;
    child::output(command.args(["connect", "127.0.0.1:80", "2"]))?;
    wait::until("three connections are held", SOON, || {
        let text = netns.read("net/sockstat")?;
        let held = text.contains("TCP: inuse 7 ") && text.contains(" tw 2 ");
        Ok(held.then_some(()))
    })?;
    let dump = dump_one(&netns)?;
    let of = |cgroup| sum(dump.table.entries.iter().filter(|e| e.key.cgroup == cgroup));
    let count = |cgroup, state| of(cgroup).get(Family::Ipv4, state);
    let (server, client) = (cgroup_of(serving.pid())?, cgroup_of(holding.pid())?);
    ensure!(server != client && server > 1 && client > 1);
    ensure!(count(server, TcpState::Listen) == 1);
    ensure!(count(server, TcpState::Established) == 3);
    ensure!(of(server).total() == 4);
    ensure!(count(client, TcpState::Established) == 3);
    ensure!(of(client).total() == 3);
    // What is no full socket is in no cgroup.
    ensure!(count(0, TcpState::TimeWait) == 2);
    ensure!(of(0).total() == 2);
    ensure!(dump.table.entries.len() == 3);
    let [listener] = dump.table.listeners[..] else {
        bail!("{:?}", dump.table.listeners);
    };
    ensure!(listener.key.cgroup == server && listener.port == Some(80));
    ensure!((listener.family, listener.length, listener.limit) == (Family::Ipv4, 0, 7));
    drop((serving, holding));
    Ok(())
}

#[test]
fn a_process_that_is_gone_or_elsewhere_is_no_error() -> Result<()> {
    testkit::require!(require::root());
    let (first, mut ended) = (Netns::new("sd-first")?, Netns::new("sd-ended")?);
    let last = Netns::new("sd-last")?;
    let mut scene = Scene::default();
    first.enter(|| scene.crowd((V4, 80).into(), 1))?;
    last.enter(|| scene.crowd((V6, 80).into(), 2))?;
    let processes = [process(&first)?, process(&ended)?, process(&last)?];
    ended.holder.kill();
    let target = |index: usize, inode| Target {
        netns: index as u64,
        inode,
        process: &processes[index],
    };
    let dump = dump(&[
        target(0, first.inode()),
        target(1, ended.inode()),
        // As if the process had moved there.
        target(0, last.inode()),
        target(2, last.inode()),
    ]);
    let outcomes = &dump.outcomes[..];
    ensure!(
        matches!(
            outcomes,
            [
                Outcome::Counted,
                Outcome::Gone,
                Outcome::Gone,
                Outcome::Counted
            ]
        ),
        "{outcomes:?}"
    );
    let of = |netns| sum(dump.table.entries.iter().filter(|e| e.key.netns == netns));
    ensure!(of(0).total() == 3 && of(1).total() == 0 && of(2).total() == 5);
    let inodes: Vec<_> = dump.table.listeners.iter().map(|l| l.inode).collect();
    ensure!(inodes == [first.inode(), last.inode()]);
    drop(scene);
    Ok(())
}

/// The kernel destroys a namespace when the last one who holds it lets go, and a veth pair with
/// it: what stood for it in another namespace is gone then.
#[test]
fn a_visit_keeps_no_namespace_alive() -> Result<()> {
    testkit::require!(require::root(), require::program("ip"));
    let (watcher, netns) = (Netns::new("sd-watcher")?, Netns::new("sd-alive")?);
    let ip = child::find_program("ip").context("no ip")?;
    let pid = netns.pid().to_string();
    let pair = ["link", "add", "here", "type", "veth", "peer", "there"];
    child::output(watcher.command(ip)?.args(pair).args(["netns", &pid]))?;
    let is_there = || Ok::<_, anyhow::Error>(watcher.read("net/dev")?.contains("here:"));
    ensure!(is_there()?);

    let process = process(&netns)?;
    let target = Target {
        netns: KEY,
        inode: netns.inode(),
        process: &process,
    };
    ensure!(matches!(dump(&[target]).outcomes[..], [Outcome::Counted]));
    drop(netns);
    wait::until("the namespace is gone", SOON, || {
        Ok((!is_there()?).then_some(()))
    })?;
    // The guard holds nothing and answers for nobody else.
    ensure!(matches!(dump(&[target]).outcomes[..], [Outcome::Gone]));
    Ok(())
}
