//! What is pushed, and where to.

use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use regex_lite::Regex;

use crate::cli::PushArgs;
use crate::push::falcon::Falcon;
use crate::push::otlp::Otlp;
use crate::push::{Target, TargetError, shown};

/// The path of an agent.
const FALCON_PATH: &str = "/v1/push";

/// The path of OTLP's metrics below a base URL.
const OTLP_PATH: &str = "/v1/metrics";

/// What OpenTelemetry calls the protocol that is spoken.
const PROTOCOL: &str = "http/protobuf";

/// The shortest and the longest time between two pushes.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));

/// What is wrong with the flags of pushes.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// A URL.
    #[error("{origin} {url}: {source}")]
    Url {
        /// The flag or variable it came from.
        origin: &'static str,
        /// What may be shown of it.
        url: String,
        /// What is wrong with it.
        source: TargetError,
    },
    /// An interval.
    #[error("{flag} {interval}: must be from 1s to 1day{more}")]
    Interval {
        /// The flag.
        flag: &'static str,
        /// As given.
        interval: humantime::Duration,
        /// What else it must be.
        more: &'static str,
    },
    /// The name that open-falcon is told.
    #[error(
        "--falcon.endpoint {0:?}: open-falcon wants a name without blanks, commas, slashes and \
         equals signs"
    )]
    Endpoint(String),
    /// The name of the host, where none was given.
    #[error(
        "the host name {0:?} is no name for open-falcon, which wants one without blanks, commas, \
         slashes and equals signs; set --falcon.endpoint"
    )]
    HostName(String),
    /// The families.
    #[error("--falcon.metrics: {0}")]
    Metrics(regex_lite::Error),
    /// Headers; their text may be secret.
    #[error("{origin}: header {number} is none (expected NAME=VALUE,NAME=VALUE, percent-encoded)")]
    Header {
        /// The flag or variable they came from.
        origin: &'static str,
        /// Which of them, from 1 on.
        number: usize,
    },
    /// OpenTelemetry's variable for what is spoken.
    #[error(
        "{origin} {protocol}: http/protobuf alone is spoken here; --otlp.endpoint names a collector's \
         port for that"
    )]
    Protocol {
        /// The variable.
        origin: &'static str,
        /// As given.
        protocol: String,
    },
}

impl PushError {
    /// Whether it is of one of OpenTelemetry's variables, which may be meant for others.
    fn is_of_a_variable(&self) -> bool {
        match self {
            Self::Url { origin, .. } | Self::Header { origin, .. } => origin.starts_with("OTEL_"),
            Self::Protocol { .. } => true,
            _ => false,
        }
    }
}

/// A push to be made: how it is written, where it goes, how often.
#[derive(Debug)]
pub struct PushTo<P> {
    /// How it is written.
    pub protocol: P,
    /// Where it goes.
    pub target: Target,
    /// Time from one to the next.
    pub interval: Duration,
}

/// What is pushed.
#[derive(Debug, Default)]
pub struct PushSettings {
    /// To open-falcon.
    pub falcon: Option<PushTo<Falcon>>,
    /// Over OTLP.
    pub otlp: Option<PushTo<Otlp>>,
    /// Why nothing is pushed over OTLP though a variable of OpenTelemetry asks for it.
    pub unusable: Option<PushError>,
}

impl PushSettings {
    /// Validates the flags; `variable` reads those of OpenTelemetry from the environment.
    pub(super) fn new(
        args: PushArgs,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, PushError> {
        // As OpenTelemetry has it: an empty variable is none.
        let variable = |name| variable(name).filter(|text| !text.is_empty());
        let falcon = falcon(&args)?;
        let is_asked_for = args.otlp_endpoint.is_some();
        let (otlp, unusable) = match otlp(args, variable) {
            Ok(otlp) => (otlp, None),
            // Set for all programs of a host, it must not keep this one from its work.
            Err(error) if error.is_of_a_variable() && !is_asked_for => (None, Some(error)),
            Err(error) => return Err(error),
        };
        Ok(Self {
            falcon,
            otlp,
            unusable,
        })
    }
}

fn falcon(args: &PushArgs) -> Result<Option<PushTo<Falcon>>, PushError> {
    let interval = interval("--falcon.interval", args.falcon_interval)?;
    if interval.subsec_nanos() != 0 {
        return Err(PushError::Interval {
            flag: "--falcon.interval",
            interval: interval.into(),
            more: ", in whole seconds",
        });
    }
    // Also for the message of a wrong one, which is about what was typed.
    Regex::new(&args.falcon_metrics).map_err(PushError::Metrics)?;
    let whole = format!("^(?:{})$", args.falcon_metrics);
    let metrics = Regex::new(&whole).map_err(PushError::Metrics)?;
    let endpoint = args.falcon_endpoint.as_ref();
    if let Some(wrong) = endpoint.filter(|name| !is_endpoint(name)) {
        return Err(PushError::Endpoint(wrong.clone()));
    }
    let Some(url) = &args.falcon_url else {
        return Ok(None);
    };
    let endpoint = match endpoint {
        Some(name) => name.clone(),
        None => endpoint_of_host(host_name())?,
    };
    let path = |path: &str| match path {
        "/" => FALCON_PATH.to_owned(),
        path => path.to_owned(),
    };
    Ok(Some(PushTo {
        protocol: Falcon::new(endpoint, interval, metrics),
        target: target("--falcon.url", url, path)?,
        interval,
    }))
}

/// The host's own name, if open-falcon takes it.
fn endpoint_of_host(name: String) -> Result<String, PushError> {
    if is_endpoint(&name) {
        return Ok(name);
    }
    Err(PushError::HostName(name))
}

fn is_endpoint(name: &str) -> bool {
    let is_wrong = |c: char| c.is_whitespace() || c.is_control() || ",=/".contains(c);
    !name.is_empty() && !name.contains(is_wrong)
}

fn otlp(
    args: PushArgs,
    variable: impl Fn(&'static str) -> Option<String>,
) -> Result<Option<PushTo<Otlp>>, PushError> {
    let first = |names: &[&'static str]| {
        let mut names = names.iter();
        names.find_map(|name| Some((*name, variable(name)?)))
    };
    let interval = interval("--otlp.interval", args.otlp_interval)?;
    const WHOLE: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    let headers = match args.otlp_headers {
        // Also where nothing is pushed: it was typed.
        Some(text) => Some(headers_of("--otlp.headers", &text)?),
        None => None,
    };
    let (origin, url) = match args.otlp_endpoint {
        Some(url) => ("--otlp.endpoint", url),
        None => {
            let Some(found) = first(&[WHOLE, "OTEL_EXPORTER_OTLP_ENDPOINT"]) else {
                return Ok(None);
            };
            let protocol = first(&[
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
                "OTEL_EXPORTER_OTLP_PROTOCOL",
            ]);
            if let Some((origin, protocol)) = protocol.filter(|(_, name)| name != PROTOCOL) {
                return Err(PushError::Protocol { origin, protocol });
            }
            found
        }
    };
    let headers = match headers {
        Some(headers) => headers,
        None => first(&[
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ])
        .map_or(Ok(Vec::new()), |(origin, text)| headers_of(origin, &text))?,
    };
    let path = |path: &str| {
        if origin == WHOLE || path.ends_with(OTLP_PATH) {
            return path.to_owned();
        }
        format!("{}{OTLP_PATH}", path.trim_end_matches('/'))
    };
    Ok(Some(PushTo {
        protocol: Otlp::new(host_name(), args.otlp_node, headers),
        target: target(origin, &url, path)?,
        interval,
    }))
}

fn target(
    origin: &'static str,
    url: &str,
    path: impl FnOnce(&str) -> String,
) -> Result<Target, PushError> {
    Target::new(url, path).map_err(|source| PushError::Url {
        origin,
        url: shown(url),
        source,
    })
}

fn interval(flag: &'static str, interval: Duration) -> Result<Duration, PushError> {
    let (shortest, longest) = INTERVALS;
    if (shortest..=longest).contains(&interval) {
        return Ok(interval);
    }
    Err(PushError::Interval {
        flag,
        interval: interval.into(),
        more: "",
    })
}

fn host_name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

/// Headers as OpenTelemetry writes them, in the format of W3C's baggage.
fn headers_of(
    origin: &'static str,
    text: &str,
) -> Result<Vec<(HeaderName, HeaderValue)>, PushError> {
    let pairs = text.split(',').enumerate();
    pairs
        .filter(|(_, pair)| !pair.trim().is_empty())
        .map(|(at, pair)| {
            header(pair).ok_or(PushError::Header {
                origin,
                number: at + 1,
            })
        })
        .collect()
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let name = name.trim().parse().ok()?;
    let mut value = HeaderValue::from_bytes(&decoded(value.trim())?).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

/// Percent-decoding, where a plus sign stands for itself.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = str::from_utf8(digits).ok()?;
        // Which would take a sign too.
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
