//! open-falcon's push: a JSON array of items, as an agent's `/v1/push` takes it.
//!
//! What it can carry stands in its transfer (`modules/transfer/receiver/rpc/rpc_transfer.go`) and
//! in `common/utils/tags.go`: metric and endpoint that are not empty, a value that is a number, a
//! positive step, no more than 510 bytes of metric and tags, tags as `key=value` between commas,
//! without blanks.

pub mod tags;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use regex_lite::Regex;
use serde::Serialize;

use super::{Answer, Batch, Encoded, Protocol, Verdict};
use crate::metrics::exposition::Sample;
use crate::metrics::{Exposition, Kind};

/// The families that are pushed where nothing is said: sockets by protocol and state, what tells
/// of a leak, a full queue or a lossy path, and the host's orphans.
pub const METRICS: &str = "container_network_(sockets_used|sockets_inuse|tcp_curr_estab\
     |tcp_time_wait_sockets|tcp_sockets|tcp_accept_queue|tcp_accept_queue_limit\
     |tcp_(attempt_fails|estab_resets|retrans_segs)_total\
     |tcpext_listen_(overflows|drops)_total|udp_(in|rcvbuf)_errors_total)\
     |container_monitor_host_tcp_orphan_sockets";

/// Items of one request.
const ITEMS: usize = 500;

/// How collections are written for open-falcon.
#[derive(Debug)]
pub struct Falcon {
    endpoint: String,
    step: u64,
    metrics: Regex,
    headers: [(HeaderName, HeaderValue); 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    endpoint: &'a str,
    metric: &'a str,
    timestamp: u64,
    step: u64,
    value: serde_json::Number,
    counter_type: &'static str,
    tags: String,
}

impl Falcon {
    /// Items of the host `endpoint`, every `interval`, of the families that `metrics` matches.
    pub fn new(endpoint: String, interval: Duration, metrics: Regex) -> Self {
        Self {
            endpoint,
            step: interval.as_secs().max(1),
            metrics,
            headers: [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        }
    }

    fn item<'a>(
        &'a self,
        metric: &'a str,
        kind: Kind,
        sample: &Sample<'_>,
        timestamp: u64,
    ) -> Option<Item<'a>> {
        Some(Item {
            endpoint: &self.endpoint,
            metric,
            timestamp,
            step: self.step,
            value: number(sample)?,
            counter_type: match kind {
                Kind::Counter => "COUNTER",
                Kind::Gauge => "GAUGE",
            },
            tags: tags::tags(metric, sample.labels())?,
        })
    }
}

/// Whole numbers whole, as they are written; `None` for what JSON cannot carry.
fn number(sample: &Sample<'_>) -> Option<serde_json::Number> {
    let whole = sample.value.parse::<i64>().map(Into::into).ok();
    whole.or_else(|| serde_json::Number::from_f64(sample.number()))
}

impl Protocol for Falcon {
    const NAME: &'static str = "open-falcon";

    fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    fn encode(&self, exposition: &Exposition, time: SystemTime) -> Encoded {
        let timestamp = time
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let mut encoded = Encoded::default();
        let mut items = Vec::new();
        for family in exposition.families() {
            if !self.metrics.is_match(family.name) {
                continue;
            }
            for sample in family.samples() {
                match self.item(family.name, family.kind, &sample, timestamp) {
                    Some(item) => items.push(item),
                    None => encoded.dropped += 1,
                }
            }
        }
        for items in items.chunks(ITEMS) {
            match serde_json::to_vec(items) {
                Ok(body) => encoded.batches.push(Batch {
                    body: Bytes::from(body),
                    samples: items.len() as u64,
                }),
                Err(_) => encoded.dropped += items.len() as u64,
            }
        }
        encoded
    }

    fn verdict(&self, answer: &Answer) -> Verdict {
        match answer.status {
            status if status.is_success() => Verdict::Taken {
                rejected: 0,
                reason: String::new(),
            },
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Verdict::Later(answer.retry_after)
            }
            status if status.is_server_error() => Verdict::Later(answer.retry_after),
            _ => Verdict::Refused,
        }
    }
}

#[cfg(test)]
mod tests;
