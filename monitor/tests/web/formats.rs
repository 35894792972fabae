//! Formats and codings of the real monitor's output, judged by others: promtool, and the parser of
//! OpenMetrics that PyPI's prometheus-client has.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use testkit::http::{self, Response};
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::prometheus::promtool_check_metrics;
use testkit::python;
use testkit::require;

use crate::{EXE, monitor};

/// What Prometheus 3 sends.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,\
    text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

const OPENMETRICS: (&str, &str) = ("Accept", "application/openmetrics-text;version=1.0.0");

/// Parses strictly, and writes each sample's name with its labels, a line each.
const JUDGE: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    if family.type == 'unknown':
        raise ValueError(family.name + ' has no type')
    for sample in family.samples:
        print(sample.name, sorted(sample.labels.items()))
";

/// Collectors that may find nothing here.
const MAY_BE_EMPTY: [&str; 4] = ["host", "filesystem", "writable-layer", "disk-io"];

fn get(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
    http::get_with(address, path, fields)
}

/// Those of one container: other tests' namespaces come and go between two scrapes.
fn series_of<'a>(text: &'a str, container: &str) -> BTreeSet<&'a str> {
    let label = format!("container=\"{container}\"");
    let series = series(text).into_iter();
    series.filter(|line| line.contains(&label)).collect()
}

/// The series of a text: names with labels.
fn series(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series)
        .collect()
}

fn judge(text: &str) -> Result<String> {
    let python = python::with_packages("openmetrics", &["prometheus-client==0.21.1"])?;
    python::run(&python, JUDGE, text.as_bytes())
}

#[test]
fn openmetrics_is_what_its_parser_takes_and_says_the_same() -> Result<()> {
    testkit::require!(require::root(), require::python_venv());
    testkit::require!(require::program("promtool"));
    let netns = Netns::new("web \"formats\\")?;
    let listener = netns.enter(|| Ok(std::net::TcpListener::bind("127.0.0.1:80")?))?;
    // Everything there is.
    let monitor = Monitor::start(
        EXE,
        &[
            "serve",
            "--discovery=cgroup",
            "--host-network",
            "--collector.netstat.fields=.",
        ],
    )?;
    monitor.wait_ready()?;
    let plain = get(monitor.address(), "/metrics", &[])?;
    ensure!(plain.header("content-type") == Some("text/plain; version=0.0.4; charset=utf-8"));
    let plain = plain.text()?;
    promtool_check_metrics(&plain)?;
    let open = get(monitor.address(), "/metrics", &[("Accept", PROMETHEUS)])?;
    let expected =
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
    ensure!(
        open.header("content-type") == Some(expected),
        "{:?}",
        open.headers
    );
    ensure!(open.header("vary") == Some("Accept, Accept-Encoding"));
    let open = open.text()?;
    ensure!(open.ends_with("\n# EOF\n"));
    let judged = judge(&open)?;
    ensure!(judged.lines().count() == series(&open).len());
    ensure!(
        judged.contains("('container', 'web \"formats\\\\')"),
        "{judged}"
    );
    let mine = r#"web \"formats\\"#;
    let (ours, theirs) = (series_of(&plain, mine), series_of(&open, mine));
    ensure!(ours.len() > 50, "{ours:#?}");
    let different: Vec<_> = ours.symmetric_difference(&theirs).collect();
    ensure!(different.is_empty(), "{different:#?}");
    // It judges: without its end, or with a family in two pieces, it is none.
    for broken in [open.replace("# EOF\n", ""), format!("x 1\n{open}x 2\n")] {
        ensure!(judge(&broken).is_err());
    }
    drop(listener);
    monitor.stop()?;
    Ok(())
}

#[test]
fn partial_and_filtered_outputs_are_well_formed_too() -> Result<()> {
    testkit::require!(require::root(), require::python_venv());
    testkit::require!(require::program("promtool"));
    let _netns = Netns::new("web-filtered")?;
    let monitor = monitor(&[])?;
    monitor.wait_ready()?;
    let whole = monitor.get("/metrics")?.text()?;
    let mut seen = BTreeSet::new();
    let collectors = [
        "sockstat",
        "sockstat6",
        "snmp",
        "snmp6",
        "netstat",
        "tcp-states",
        "filesystem",
        "writable-layer",
        "disk-io",
        "discovery",
        "host",
    ];
    for collector in collectors {
        let path = format!("/metrics?collect%5B%5D={collector}");
        let text = get(monitor.address(), &path, &[])?.text()?;
        promtool_check_metrics(&text)?;
        let open = get(monitor.address(), &path, &[OPENMETRICS])?.text()?;
        judge(&open)?;
        let own =
            |line: &&str| !line.starts_with("container_monitor_") && !line.starts_with("process_");
        let found: BTreeSet<String> = series(&text)
            .into_iter()
            .filter(own)
            .map(str::to_owned)
            .collect();
        ensure!(
            !found.is_empty() || MAY_BE_EMPTY.contains(&collector),
            "nothing of {collector}"
        );
        for line in found {
            ensure!(seen.insert(line.clone()), "{line} is of two collectors");
        }
        let others = format!("/metrics?exclude[]={collector}");
        let others = get(monitor.address(), &others, &[])?.text()?;
        ensure!(
            !others.contains(&format!("collector_success{{collector=\"{collector}\"}}")),
            "{others}"
        );
    }
    // Together they are all there is of containers.
    let containers = |line: &&str| line.starts_with("container_network_");
    let all: BTreeSet<String> = series(&whole)
        .into_iter()
        .filter(containers)
        .map(str::to_owned)
        .collect();
    // Other tests' namespaces come and go.
    let mine = |line: &&String| line.contains("container=\"web-filtered\"");
    let (all, seen): (Vec<_>, Vec<_>) = (
        all.iter().filter(mine).collect(),
        seen.iter().filter(mine).collect(),
    );
    ensure!(!all.is_empty());
    ensure!(all == seen, "{all:#?} {seen:#?}");
    for (query, word) in [
        ("collect[]=cpu", "unknown"),
        ("collect[]=transitions", "switched off"),
        ("collect[]=snmp&exclude[]=snmp", "combined"),
    ] {
        let answer = monitor.get(&format!("/metrics?{query}"))?;
        let said = String::from_utf8(answer.body)?;
        ensure!(
            answer.status == 400 && said.contains(word),
            "{query}: {said}"
        );
        ensure!(said.lines().count() == 1, "{said}");
    }
    monitor.stop()?;
    Ok(())
}

#[test]
fn codings_are_what_others_read() -> Result<()> {
    testkit::require!(require::root());
    let _netns = Netns::new("web-codings")?;
    let monitor = monitor(&[])?;
    monitor.wait_ready()?;
    let plain = monitor.get("/metrics")?.text()?;
    for coding in ["gzip", "zstd"] {
        let answer = get(
            monitor.address(),
            "/metrics",
            &[("Accept-Encoding", coding), OPENMETRICS],
        )?;
        ensure!(answer.header("content-encoding") == Some(coding));
        let mut text = Vec::new();
        match coding {
            "gzip" => flate2::read::MultiGzDecoder::new(&*answer.body).read_to_end(&mut text)?,
            _ => zstd::Decoder::new(&*answer.body)?.read_to_end(&mut text)?,
        };
        let text = String::from_utf8(text)?;
        let (ours, theirs) = (
            series_of(&text, "web-codings"),
            series_of(&plain, "web-codings"),
        );
        ensure!(ours.len() > 50 && ours == theirs, "{text}");
        ensure!(answer.body.len() < text.len() / 3);
    }
    let none = get(
        monitor.address(),
        "/metrics",
        &[("Accept-Encoding", "identity;q=0")],
    )?;
    ensure!(none.status == 406, "{none:?}");
    monitor.stop()?;
    Ok(())
}

/// Fields of an answer that do not depend on how much there is to say.
const KIND: [&str; 3] = ["content-type", "content-encoding", "vary"];

#[test]
fn head_says_what_get_would() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&[])?;
    monitor.wait_ready()?;
    for (path, field) in [
        ("/metrics", ("Accept-Encoding", "gzip")),
        ("/metrics", OPENMETRICS),
        ("/healthz", ("X", "y")),
        ("/", ("X", "y")),
    ] {
        let mut stream = TcpStream::connect(monitor.address())?;
        let (name, value) = field;
        write!(
            stream,
            "HEAD {path} HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .context("no end of its header")?;
        ensure!(
            head.starts_with("HTTP/1.1 200 ") && body.is_empty(),
            "{answer}"
        );
        let said = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields
                .find(|(known, _)| *known == name)
                .map(|(_, said)| said)
        };
        let got = get(monitor.address(), path, &[field])?;
        for name in KIND {
            ensure!(said(name) == got.header(name), "{path} {name}: {head}");
        }
        let length: usize = said("content-length").context("no length")?.parse()?;
        if path == "/metrics" {
            // Numbers have moved since.
            ensure!(length > 1_000, "{head}");
        } else {
            ensure!(length == got.body.len(), "{path}: {head}");
        }
    }
    monitor.stop()?;
    Ok(())
}
