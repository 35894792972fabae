//! Which of the forms of an answer a client wants: `Accept` and `Accept-Encoding` (RFC 9110, 12.4
//! and 12.5) with their weights.

use axum::http::header::{ACCEPT, ACCEPT_ENCODING};
use axum::http::{HeaderMap, HeaderName};

/// Formats of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Format {
    /// Prometheus's text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// Ways to compress them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Coding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// Its name in `Content-Encoding`; `None` where there is none.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// Escaping schemes that Prometheus names with a format. Every name here is the same in all of
/// them, so that whichever is asked for is what it gets.
const ESCAPING: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// The format that is wanted most, and the escaping scheme that came with it. What nobody can be
/// given is text: an answer that a person can read says more than an error.
pub(super) fn format(headers: &HeaderMap) -> (Format, Option<&'static str>) {
    let items = items(headers, ACCEPT);
    let offers = [Format::Text, Format::OpenMetrics].map(|format| {
        let matching = items.iter().enumerate().filter_map(|(at, item)| {
            let specific = fits(item, format)?;
            Some((specific, std::cmp::Reverse(at), item))
        });
        let best = matching.max_by_key(|(specific, at, _)| (*specific, *at))?;
        let (specific, at, item) = best;
        (item.weight > 0).then_some((format, item, (item.weight, specific > 1, at)))
    });
    // Of equals the one that is named, then the first in the header, then text.
    let wanted = offers.into_iter().flatten().reduce(
        |best, other| {
            if other.2 > best.2 { other } else { best }
        },
    );
    match wanted {
        None => (Format::Text, None),
        Some((format, item, _)) => (format, escaping(item)),
    }
}

fn escaping(item: &Item<'_>) -> Option<&'static str> {
    let asked = item.parameter("escaping")?;
    ESCAPING.into_iter().find(|known| *known == asked)
}

/// How closely a media range fits: the higher, the more is said. `None` where it does not.
fn fits(item: &Item<'_>, format: Format) -> Option<u8> {
    let (kind, media, version) = match format {
        Format::Text => ("text/*", "text/plain", "0.0.4"),
        Format::OpenMetrics => ("application/*", "application/openmetrics-text", "1.0.0"),
    };
    let is = |name: &str| item.name.eq_ignore_ascii_case(name);
    if is("*/*") {
        Some(0)
    } else if is(kind) {
        Some(1)
    } else if is(media) {
        match item.parameter("version") {
            None => Some(2),
            Some(asked) => (asked == version).then_some(3),
        }
    } else {
        None
    }
}

/// The coding that is wanted most, of equals the one that costs least for its size; `None` where
/// none is wanted that there is.
pub(super) fn coding(headers: &HeaderMap) -> Option<Coding> {
    let items = items(headers, ACCEPT_ENCODING);
    let weight = |names: &[&str]| {
        let named = |name: &str| {
            let item = items.iter().find(|i| i.name.eq_ignore_ascii_case(name))?;
            Some(item.weight)
        };
        names.iter().find_map(|name| named(name)).or(named("*"))
    };
    let offers = [
        // Without a word about it, it is acceptable, though whatever is named is liked better.
        (Coding::Identity, weight(&["identity"]).unwrap_or(1)),
        (Coding::Gzip, weight(&["gzip", "x-gzip"]).unwrap_or(0)),
        (Coding::Zstd, weight(&["zstd"]).unwrap_or(0)),
    ];
    let wanted = offers.into_iter().filter(|(_, weight)| *weight > 0);
    wanted
        .max_by_key(|(_, weight)| *weight)
        .map(|(coding, _)| coding)
}

/// One item of a list with weights.
#[derive(Debug, PartialEq, Eq)]
struct Item<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    /// In thousandths.
    weight: u16,
}

impl<'a> Item<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let mut item = Self {
            name,
            parameters: Vec::new(),
            weight: 1000,
        };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let (key, value) = (key.trim(), value.trim().trim_matches('"'));
            if key.eq_ignore_ascii_case("q") {
                // What is no weight is taken for the least there is, which wants it still.
                item.weight = weight(value).unwrap_or(1);
            } else {
                item.parameters.push((key, value));
            }
        }
        Some(item)
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        let found = |(key, _): &&(&str, &str)| key.eq_ignore_ascii_case(name);
        self.parameters.iter().find(found).map(|(_, value)| *value)
    }
}

/// A weight in thousandths: 0 to 1 with at most three digits (RFC 9110, 12.4.2).
fn weight(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match (whole, fraction) {
        ("0" | "", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// The items of all fields of a name. A field that is no text has none.
fn items(headers: &HeaderMap, name: HeaderName) -> Vec<Item<'_>> {
    let fields = headers.get_all(name).into_iter();
    fields
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .filter_map(Item::parse)
        .collect()
}

#[cfg(test)]
mod tests;
