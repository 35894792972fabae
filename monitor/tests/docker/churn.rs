//! Nothing is left over: no namespace, no descriptor, no series.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::child::{find_program, output};
use testkit::monitor::Monitor;
use testkit::wait;

use crate::fleet::Fleet;
use crate::lifecycle::{SOON, absent, present};

/// The kernel destroys a namespace when the last one who holds it lets go, and a veth pair with
/// it. So the end that stays outside tells whether the namespace is really gone.
pub(crate) fn no_namespace_kept_alive(fleet: &mut Fleet) -> Result<()> {
    let monitor = fleet.monitor(&["--host-network"])?;
    let ip = find_program("ip").context("no ip")?;
    fleet
        .docker
        .run("doomed", &["--network=none"], &["serve", "80"])?;
    let pid = fleet.docker.pid("doomed")?.to_string();
    let outside = format!("cmv{}", std::process::id());
    let pair = [
        "link", "add", &outside, "type", "veth", "peer", "name", "eth9",
    ];
    output(Command::new(ip).args(pair).args(["netns", &pid]))?;
    monitor.metrics_when(SOON, |metrics| present(metrics, "doomed"))?;
    for _ in 0..5 {
        monitor.metrics()?;
    }
    holds_nothing(&monitor)?;
    let end = Path::new("/sys/class/net").join(&outside);
    ensure!(end.exists(), "the veth pair was not made");
    fleet.docker.docker(&["rm", "--force", "doomed"])?;
    wait::until("the namespace is gone", SOON, || {
        absent(&monitor.metrics()?, "doomed")?;
        Ok((!end.exists()).then_some(()))
    })?;
    monitor.stop()?;
    Ok(())
}

/// No descriptor of the monitor's is one that keeps a namespace alive.
fn holds_nothing(monitor: &Monitor) -> Result<()> {
    for link in monitor.fds()? {
        let text = link.to_string_lossy();
        let holds = text.starts_with("net:[")
            || text.contains("/ns/net")
            || (text.starts_with("/proc/") && text.contains("/net/"));
        // The host's own namespace, which is this test's, outlives everything.
        let own = std::fs::read_link("/proc/self/ns/net")?;
        ensure!(!holds || link == own, "it keeps {text} open");
    }
    Ok(())
}

pub(crate) fn containers_come_and_go(fleet: &mut Fleet) -> Result<()> {
    const ROUNDS: usize = 4;
    const EACH: usize = 5;
    let monitor = fleet.monitor(&[])?;
    // The first scrape opens what is kept.
    monitor.metrics()?;
    let series = |what: &str| anyhow::Ok(monitor.metrics()?.series(what).len());
    let infos = series("container_network_info")?;
    let all = monitor.metrics()?.samples.len();
    let fds = monitor.fd_count()?;
    for round in 0..ROUNDS {
        let names: Vec<String> = (0..EACH).map(|n| format!("brief-{round}-{n}")).collect();
        for name in &names {
            fleet.docker.run(name, &[], &["serve", "80"])?;
        }
        let last = &names[EACH - 1];
        monitor.metrics_when(SOON, |metrics| present(metrics, last))?;
        ensure!(
            series("container_network_info")? == infos + EACH,
            "not all are there"
        );
        let mut remove = vec!["rm", "--force"];
        remove.extend(names.iter().map(String::as_str));
        fleet.docker.docker(&remove)?;
        for name in &names {
            absent(&monitor.metrics()?, name)?;
        }
    }
    let what = format!("{fds} descriptors and {infos} infos again");
    wait::until(&what, Duration::from_secs(5), || {
        let same = series("container_network_info")? == infos && monitor.fd_count()? <= fds;
        Ok(same.then_some(()))
    })?;
    let now = monitor.metrics()?.samples.len();
    // Transitions of containers that stay may have happened for the first time.
    ensure!(now <= all + 20, "{now} series after {all}");
    monitor.stop()?;
    Ok(())
}
