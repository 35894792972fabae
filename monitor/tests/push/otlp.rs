//! OTLP, read by the definitions that OpenTelemetry publishes for Python.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::receiver::{Receiver, Reply};
use testkit::{python, require, wait};

use crate::{SOON, Series, compare, monitor, quiet, received, scraped};

/// Decodes a compressed request and refuses what the definitions do not know.
const READ: &str = r#"
import gzip, json, sys
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service
from opentelemetry.proto.metrics.v1 import metrics_pb2 as metrics

request = service.ExportMetricsServiceRequest()
request.ParseFromString(gzip.decompress(sys.stdin.buffer.read()))
known = service.ExportMetricsServiceRequest()
known.CopyFrom(request)
known.DiscardUnknownFields()
assert known == request, "unknown fields"

def attributes(pairs):
    found = {}
    for pair in pairs:
        assert pair.key and pair.key not in found, pair
        assert pair.value.WhichOneof("value") == "string_value", pair
        found[pair.key] = pair.value.string_value
    return found

out = []
for of_resource in request.resource_metrics:
    resource = attributes(of_resource.resource.attributes)
    for of_scope in of_resource.scope_metrics:
        assert of_scope.scope.name == "container-monitor", of_scope.scope
        for metric in of_scope.metrics:
            kind = metric.WhichOneof("data")
            assert kind in ("gauge", "sum") and metric.name and metric.description, metric
            if kind == "sum":
                assert metric.sum.is_monotonic, metric
                assert metric.sum.aggregation_temporality == metrics.AGGREGATION_TEMPORALITY_CUMULATIVE
            for point in getattr(metric, kind).data_points:
                which = point.WhichOneof("value")
                assert which in ("as_int", "as_double"), point
                assert which == "as_double" or metric.unit != "s", metric
                assert point.start_time_unix_nano <= point.time_unix_nano, point
                out.append({
                    "resource": resource, "name": metric.name, "kind": kind,
                    "attributes": attributes(point.attributes), "value": getattr(point, which),
                    "start": point.start_time_unix_nano,
                })
json.dump(out, sys.stdout)
"#;

fn read(body: &[u8]) -> Result<Vec<Value>> {
    let python = python::with_packages("otlp", &["opentelemetry-proto==1.45.2"])?;
    let mut child = Command::new(python)
        .args(["-c", READ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(body)?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "it is not as it is defined");
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

#[test]
fn a_push_shows_what_a_scrape_shows() -> Result<()> {
    testkit::require!(require::root(), require::python_venv());
    let (netns, _listeners) = quiet("push-otlp")?;
    let receiver = Receiver::start(|_, _| Reply::status(200))?;
    let url = format!("--otlp.endpoint={}", receiver.url());
    let monitor = monitor(&[&url, "--otlp.headers=x-scope=a%20b", "--otlp.node=node-1"])?;
    monitor.wait_ready()?;
    let request = received(&receiver)?.remove(0);
    ensure!(request.target == "POST /v1/metrics", "{}", request.target);
    for (name, value) in [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "gzip"),
        ("x-scope", "a b"),
    ] {
        ensure!(request.header(name) == value, "{name}");
    }
    let points = read(&request.body)?;
    let metrics = wait::until("it is counted", SOON, || {
        let metrics = monitor.metrics()?;
        let sent = metrics.value("container_monitor_otlp_sent_total", &[])?;
        Ok((sent >= points.len() as f64).then_some(metrics))
    })?;
    let container = metrics.container_in(netns.inode())?;
    let mut pushed: BTreeMap<Series, f64> = BTreeMap::new();
    for point in &points {
        let resource = texts(&point["resource"]);
        ensure!(resource["service.name"] == "container-monitor");
        ensure!(resource["k8s.node.name"] == "node-1" && resource.contains_key("host.name"));
        let name = point["name"].as_str().context("no name")?;
        let is_own = name.starts_with("container_monitor_") || name.starts_with("process_");
        let is_sum = point["kind"] == "sum";
        ensure!((point["start"] != 0) == (is_own && is_sum), "{point}");
        let kind = if is_sum { "counter" } else { "gauge" };
        ensure!(
            metrics.types.get(name).is_some_and(|known| known == kind),
            "{point}"
        );
        if resource
            .get("container.name")
            .is_some_and(|name| name == container)
        {
            let mut labels = texts(&point["attributes"]);
            labels.insert("container".to_owned(), container.to_owned());
            let value = point["value"].as_f64().context("no number")?;
            ensure!(
                pushed.insert((name.to_owned(), labels), value).is_none(),
                "twice"
            );
        }
    }
    compare(&pushed, &scraped(&metrics, container, |_| true)?)
}
