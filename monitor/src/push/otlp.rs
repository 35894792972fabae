//! OTLP over HTTP with protobuf: the same collection as OpenTelemetry metrics.
//!
//! One resource for each container, with the attributes of the semantic conventions, and one for
//! the host with what belongs to no container. Counters are cumulative monotonic sums. Those of
//! the kernel began with their namespace or cgroup, at a time that nobody tells, and so have no
//! start time; the exporter's own began with its process.

mod messages;
mod resource;

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use prost::Message as _;

use self::messages::{
    CUMULATIVE, Data, ExportRequest, ExportResponse, Gauge, KeyValue, Metric, Number,
    NumberDataPoint, ResourceMetrics, Scope, ScopeMetrics, Sum,
};
use self::resource::{Node, Owner};
use super::{Answer, Batch, Encoded, Protocol, Verdict};
use crate::metrics::exposition::{Family, Sample};
use crate::metrics::{Exposition, Kind};

/// Data points of one request, but for a resource that has more by itself.
const POINTS: u64 = 8_000;

/// Families whose counters began with this process.
const OWN: [&str; 2] = ["container_monitor_", "process_"];

/// How collections are written for OTLP.
#[derive(Debug)]
pub struct Otlp {
    node: Node,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Otlp {
    /// Metrics of the host `host`, which Kubernetes calls `node`, sent with `headers` beside those
    /// of the protocol.
    pub fn new(
        host: String,
        node: Option<String>,
        mut headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Self {
        headers.retain(|(name, _)| *name != CONTENT_TYPE && *name != CONTENT_ENCODING);
        headers.extend([
            (
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-protobuf"),
            ),
            (CONTENT_ENCODING, HeaderValue::from_static("gzip")),
        ]);
        Self {
            node: Node { host, node },
            headers,
        }
    }

    /// The collection as resources, each with the number of its points.
    fn resources(&self, exposition: &Exposition, time: SystemTime) -> Vec<(ResourceMetrics, u64)> {
        let facts = resource::facts(exposition);
        let times = Times::new(exposition, time);
        let mut by_owner: BTreeMap<Owner, Vec<Metric>> = BTreeMap::new();
        for family in exposition.families() {
            let mut points: HashMap<Owner, Vec<NumberDataPoint>> = HashMap::new();
            for sample in family.samples() {
                let point = times.point(&family, &sample);
                points.entry(Owner::of(&sample)).or_default().push(point);
            }
            for (owner, points) in points {
                let metrics = by_owner.entry(owner).or_default();
                metrics.push(metric(&family, points));
            }
        }
        by_owner
            .into_iter()
            .map(|(owner, metrics)| {
                let attributes = resource::attributes(&self.node, &owner, facts.get(&owner));
                let points = metrics.iter().map(Metric::points).sum();
                (resource_metrics(attributes, metrics), points)
            })
            .collect()
    }
}

/// The times of a collection's points, in nanoseconds since 1970.
struct Times {
    now: u64,
    /// When this process began; 0 where that is not known.
    start: u64,
}

impl Times {
    fn new(exposition: &Exposition, time: SystemTime) -> Self {
        let start = exposition.family("process_start_time_seconds");
        let start = start.and_then(|family| family.samples().next());
        let start = start.map_or(0.0, |sample| sample.number());
        Self {
            now: nanoseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default()),
            start: Duration::try_from_secs_f64(start).map_or(0, nanoseconds),
        }
    }

    fn point(&self, family: &Family<'_>, sample: &Sample<'_>) -> NumberDataPoint {
        let is_own = OWN.iter().any(|prefix| family.name.starts_with(prefix));
        let has_start = family.kind == Kind::Counter && is_own;
        NumberDataPoint {
            start_time_unix_nano: if has_start { self.start } else { 0 },
            time_unix_nano: self.now,
            value: Some(match sample.value.parse() {
                Ok(whole) if !is_fractional(family.name) => Number::Int(whole),
                _ => Number::Double(sample.number()),
            }),
            attributes: sample
                .labels()
                .filter(|(name, value)| !Owner::LABELS.contains(name) && !value.is_empty())
                .map(|(name, value)| KeyValue::new(name, value))
                .collect(),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn metric(family: &Family<'_>, data_points: Vec<NumberDataPoint>) -> Metric {
    Metric {
        name: family.name.to_owned(),
        description: family.description().into_owned(),
        unit: unit(family.name).to_owned(),
        data: Some(match family.kind {
            Kind::Gauge => Data::Gauge(Gauge { data_points }),
            Kind::Counter => Data::Sum(Sum {
                data_points,
                aggregation_temporality: CUMULATIVE,
                is_monotonic: true,
            }),
        }),
    }
}

/// Whether a family's values are fractions, also those that happen to be whole: a stream has one
/// type of number.
fn is_fractional(name: &str) -> bool {
    let name = name.strip_suffix("_total").unwrap_or(name);
    name.ends_with("_seconds") || name.ends_with("_ratio")
}

/// The unit, as UCUM has it, from the name that Prometheus's rules give; empty where there is none.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next() {
        Some("bytes") => "By",
        Some("seconds") => "s",
        _ => "",
    }
}

fn resource_metrics(attributes: Vec<KeyValue>, metrics: Vec<Metric>) -> ResourceMetrics {
    ResourceMetrics {
        resource: Some(messages::Resource { attributes }),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(Scope {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            }),
            metrics,
        }],
    }
}

/// One request; `None` where it cannot be compressed, for which memory alone could be the reason.
fn batch(resource_metrics: Vec<ResourceMetrics>, samples: u64) -> Option<Batch> {
    let body = ExportRequest { resource_metrics }.encode_to_vec();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&body).ok()?;
    let body = Bytes::from(gzip.finish().ok()?);
    Some(Batch { body, samples })
}

impl Protocol for Otlp {
    const NAME: &'static str = "OTLP";

    fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    fn encode(&self, exposition: &Exposition, time: SystemTime) -> Encoded {
        let mut encoded = Encoded::default();
        let mut resources = self.resources(exposition, time).into_iter().peekable();
        while resources.peek().is_some() {
            let (mut together, mut points) = (Vec::new(), 0);
            while let Some((resource, more)) =
                resources.next_if(|(_, more)| points == 0 || points + more <= POINTS)
            {
                together.push(resource);
                points += more;
            }
            match batch(together, points) {
                Some(batch) => encoded.batches.push(batch),
                None => encoded.dropped += points,
            }
        }
        encoded
    }

    fn verdict(&self, answer: &Answer) -> Verdict {
        match answer.status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Verdict::Later(answer.retry_after),
            status if status.is_success() => {
                // What is no such message says nothing about samples that were not taken.
                let response = ExportResponse::decode(answer.body.clone()).unwrap_or_default();
                let partial = response.partial_success.unwrap_or_default();
                Verdict::Taken {
                    rejected: u64::try_from(partial.rejected_data_points).unwrap_or(0),
                    reason: partial.error_message,
                }
            }
            _ => Verdict::Refused,
        }
    }
}

#[cfg(test)]
mod tests;
