//! What is pushed by the real daemon, on a real network namespace: judged by the receivers' own
//! rules, and equal to what is scraped.

mod falcon;
mod otlp;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::receiver::{Received, Receiver};
use testkit::wait;

/// How long something may take that is the daemon's to do.
const SOON: Duration = Duration::from_secs(20);

/// A series: name, and the labels that are not empty.
type Series = (String, BTreeMap<String, String>);

/// A namespace with some sockets in which nothing moves.
fn quiet(name: &str) -> Result<(Netns, Vec<TcpListener>)> {
    let netns = Netns::new(name)?;
    let listeners = netns.enter(|| {
        testkit::netns::loopback_up()?;
        let listen = |_| Ok(TcpListener::bind("127.0.0.1:0")?);
        (0..5).map(listen).collect::<Result<Vec<_>>>()
    })?;
    Ok((netns, listeners))
}

fn monitor(more: &[&str]) -> Result<Monitor> {
    let args = [
        "serve",
        "--discovery",
        "cgroup",
        "--no-collector.transitions",
        "--no-collector.filesystem",
        "--no-collector.writable-layer",
        "--no-collector.disk-io",
    ];
    let exe = env!("CARGO_BIN_EXE_container-monitor");
    Monitor::start(exe, &[&args, more].concat())
}

/// What came, once something has.
fn received(receiver: &Receiver) -> Result<Vec<Received>> {
    wait::until("a push", SOON, || {
        let received = receiver.received();
        Ok((!received.is_empty()).then_some(received))
    })
}

/// The container's series of a scrape that match `is_wanted`.
fn scraped(
    metrics: &Metrics,
    container: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<Series, f64>> {
    let samples = metrics.labelled(&[("container", container)]);
    let samples = samples.into_iter().filter(|sample| is_wanted(&sample.name));
    let series: BTreeMap<Series, f64> = samples
        .map(|sample| {
            let labels = sample.labels.iter();
            let labels = labels.filter(|(_, value)| !value.is_empty());
            let labels = labels.map(|(name, value)| (name.to_string(), value.to_string()));
            ((sample.name.clone(), labels.collect()), sample.value)
        })
        .collect();
    ensure!(!series.is_empty(), "nothing of {container}");
    Ok(series)
}

/// Both have the same series and values.
fn compare(pushed: &BTreeMap<Series, f64>, scraped: &BTreeMap<Series, f64>) -> Result<()> {
    for (series, value) in scraped {
        let found = pushed.get(series);
        let found = found.with_context(|| format!("not pushed: {series:?}"))?;
        ensure!(found == value, "{series:?}: {found} is not {value}");
    }
    let more = pushed.keys().find(|series| !scraped.contains_key(series));
    ensure!(more.is_none(), "pushed only: {more:?}");
    Ok(())
}
