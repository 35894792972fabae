//! A real Prometheus server scrapes the monitor and answers queries.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::prometheus::{Prometheus, promtool_check_metrics};
use testkit::require;
use testkit::workload::Where;

#[test]
fn prometheus_scrapes_and_answers() -> Result<()> {
    testkit::require!(require::root(), require::program("prometheus"));
    testkit::require!(require::program("promtool"));
    let netns = Netns::new("prom-web")?;
    // Sockets that this process holds inside: their number is known and does not move.
    let at: Where = "127.0.0.1:80".parse()?;
    let listener = netns.enter(|| at.listen(128))?;
    let clients = netns.enter(|| {
        (0..12)
            .map(|_| Ok(std::net::TcpStream::connect("127.0.0.1:80")?))
            .collect::<Result<Vec<_>>>()
    })?;

    let args = ["serve", "--discovery", "cgroup"];
    let monitor = Monitor::start(env!("CARGO_BIN_EXE_container-monitor"), &args)?;
    monitor.wait_ready()?;
    promtool_check_metrics(&monitor.get("/metrics")?.text()?)?;

    let prometheus = Prometheus::start(monitor.address())?;
    let limit = Duration::from_secs(15);
    let query = "container_network_tcp_curr_estab{container=\"prom-web\"}";
    let series = prometheus.query_until(query, limit)?;
    ensure!(series.len() == 1, "{series:?}");
    // Both ends of each stand in the namespace.
    ensure!(series[0].1 == 24.0, "{series:?}");
    // To Prometheus an empty label is none.
    let labels: Vec<&str> = series[0].0.keys().map(String::as_str).collect();
    ensure!(
        labels == ["__name__", "container", "instance", "job"],
        "{labels:?}"
    );
    let listening = "container_network_sockets_inuse{container=\"prom-web\",protocol=\"tcp\"}";
    ensure!(prometheus.query_until(listening, limit)?[0].1 == 25.0);

    let steady = prometheus.query_until("min_over_time(up{job=\"monitor\"}[5s]) == 1", limit)?;
    ensure!(steady.len() == 1, "{steady:?}");
    ensure!(prometheus.last_scrape_error()?.is_empty());
    let joined = "container_network_tcp_curr_estab * on (namespace, pod, container) \
        group_left (netns) container_network_info{container=\"prom-web\"}";
    let joined = prometheus.query_until(joined, limit)?;
    ensure!(
        joined[0].0["netns"] == netns.inode().to_string(),
        "{joined:?}"
    );

    // A dead container is stale at once: the query gives nothing, not its last value.
    drop((clients, listener, netns));
    testkit::wait::until("the series is stale", limit, || {
        Ok(prometheus.query(query)?.is_empty().then_some(()))
    })?;
    drop(prometheus);
    monitor.stop()?;
    Ok(())
}
