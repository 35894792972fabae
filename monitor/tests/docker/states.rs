//! TCP sockets by state, of real containers: apart by their cgroups, together what `ss` says.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::metrics::Metrics;
use testkit::{netns, published, require, ss, wait};

use crate::fleet::Fleet;

const SOCKETS: &str = "container_network_tcp_sockets";
const INFO: &str = "container_network_info";

/// Both ways to look at sockets, those that this machine has.
fn sources() -> Vec<&'static str> {
    let mut sources = vec!["--collector.tcp-states=sock_diag"];
    if require::met(&[require::btf(), require::bpf()]) {
        sources.push("--collector.tcp-states=kernel");
    }
    sources
}

/// The sockets of all containers of a namespace together; what there is none of is left out.
fn states(metrics: &Metrics, inode: u64) -> ss::States {
    let mut states = ss::States::new();
    for info in metrics.matching(INFO, &[("netns", &inode.to_string())]) {
        let label = |name: &str| info.labels.get(name).map_or("", String::as_str);
        let identity = ["namespace", "pod", "container"].map(|name| (name, label(name)));
        for (family, state) in ["ipv4", "ipv6"]
            .into_iter()
            .flat_map(|family| published::STATES.map(|state| (family, state)))
        {
            let labels = [&identity[..], &[("family", family), ("state", state)]].concat();
            let count = metrics.sum(SOCKETS, &labels) as u64;
            if count > 0 {
                *states.entry((family, state)).or_default() += count;
            }
        }
    }
    states
}

pub(crate) fn states_are_those_of_ss(fleet: &mut Fleet) -> Result<()> {
    for source in sources() {
        let monitor = fleet.monitor(&[source, "--collector.tcp-states.min-interval=0s"])?;
        let mut compared = 0;
        // Nobody enters a namespace through an exited leader.
        let entered = |name: &str| name != "leaderless";
        let containers = fleet.containers.iter();
        for container in containers.filter(|c| !c.host_network && entered(&c.name)) {
            let pid = fleet.docker.pid(&container.name)?;
            let inode = netns::inode_of(pid)?;
            // Clients at a full queue try again now and then.
            let quiet = wait::until(&container.name, Duration::from_secs(10), || {
                let before = ss::states(pid)?;
                let seen = states(&monitor.metrics()?, inode);
                let after = ss::states(pid)?;
                Ok((before == after).then_some((seen, after)))
            });
            let (seen, judge) = quiet?;
            ensure!(
                seen == judge,
                "{source}, {}: {seen:?}, by ss {judge:?}",
                container.name
            );
            compared += usize::from(!judge.is_empty());
        }
        ensure!(compared > 20, "only {compared} have sockets");
        let mismatch = monitor
            .metrics()?
            .value("container_monitor_tcp_mismatch_sockets", &[])?;
        ensure!(mismatch == 0.0, "{source}: {mismatch}");
        monitor.stop()?;
    }
    Ok(())
}

fn count(metrics: &Metrics, pod: &str, container: &str, state: &str) -> f64 {
    let labels = [("pod", pod), ("container", container), ("state", state)];
    metrics.sum(SOCKETS, &labels)
}

/// The app and the proxy of a pod; what has no cgroup is the pod's.
pub(crate) fn containers_of_a_pod(fleet: &mut Fleet) -> Result<()> {
    const HELD: usize = 11;
    let (proxy, app) = ("k8s_proxy_shop-1_default", "k8s_app_shop-1_default");
    let pid = fleet.docker.pid(app)?;
    let work = [
        "/workload",
        "connect",
        "127.0.0.1:80",
        &HELD.to_string(),
        "--hold",
    ];
    fleet
        .docker
        .docker(&[&["exec", "--detach", proxy], &work[..]].concat())?;
    fleet
        .docker
        .docker(&["exec", proxy, "/workload", "connect", "127.0.0.1:80", "3"])?;
    wait::until("the connections are there", Duration::from_secs(20), || {
        let states = ss::states(pid)?;
        let seen = (
            ss::total(&states, "established"),
            ss::total(&states, "time_wait"),
        );
        Ok((seen == (2 * HELD as u64, 3)).then_some(()))
    })?;
    // The port of IPv4, and of IPv6 where containers have it.
    let listening = ss::total(&ss::states(pid)?, "listen") as usize;
    for source in sources() {
        let metrics = fleet.scrape(&[source])?;
        for (container, state, expected) in [
            ("proxy", "established", HELD),
            ("proxy", "listen", 0),
            ("proxy", "time_wait", 0),
            ("app", "established", HELD),
            ("app", "listen", listening),
            ("", "established", 0),
            ("", "time_wait", 3),
        ] {
            let seen = count(&metrics, "shop-1", container, state);
            ensure!(
                seen == expected as f64,
                "{source}: {container:?} has {seen} in {state}, expected {expected}"
            );
        }
        let queue = [("pod", "shop-1"), ("container", "app"), ("port", "80")];
        let rows = metrics.matching("container_network_tcp_accept_queue", &queue);
        ensure!(rows.len() == listening, "{source}: {rows:?}");
    }
    Ok(())
}

/// Two containers on the host's network, which have the host's namespace and nothing else in
/// common.
pub(crate) fn containers_on_the_host_s_network(fleet: &mut Fleet) -> Result<()> {
    const HELD: usize = 17;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let address = format!("127.0.0.1:{port}");
    let held = HELD.to_string();
    fleet.add("host-a", &["--network=host"], &["serve", &address])?;
    let own = std::process::id();
    wait::until("it listens", Duration::from_secs(20), || {
        let mut listeners = ss::listeners(own)?.into_iter();
        Ok(listeners.any(|listener| listener.0 == port).then_some(()))
    })?;
    let connect = ["connect", &*address, &held, "--hold"];
    fleet.add("host-b", &["--network=host"], &connect)?;
    wait::until("they are connected", Duration::from_secs(20), || {
        let filter = [
            "-Htn",
            "state",
            "established",
            "dport",
            "=",
            &port.to_string(),
        ];
        let lines = ss::run(own, &filter)?.lines().count();
        Ok((lines == HELD).then_some(()))
    })?;
    for source in sources() {
        let metrics = fleet.scrape(&[source])?;
        for (container, state, expected) in [
            ("host-a", "listen", 1),
            ("host-a", "established", HELD),
            ("host-b", "listen", 0),
            ("host-b", "established", HELD),
            ("hosty", "established", 0),
        ] {
            let seen = count(&metrics, "", container, state);
            ensure!(
                seen == expected as f64,
                "{source}: {container} has {seen} in {state}, expected {expected}"
            );
        }
    }
    Ok(())
}
