//! Tests of the parent module.

use axum::http::header::{ACCEPT, ACCEPT_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::{any, prop, proptest};

use super::{Coding, Format, coding, format, weight};

fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(&name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn accepts(value: &str) -> (Format, Option<&'static str>) {
    format(&headers(ACCEPT, &[value]))
}

fn encodings(value: &str) -> Option<Coding> {
    coding(&headers(ACCEPT_ENCODING, &[value]))
}

#[test]
fn what_prometheus_sends() {
    // 3.x; with UTF-8 names off; 2.42; before OpenMetrics; asking for text first.
    for (accept, expected) in [
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,\
             */*;q=0.2",
            (Format::OpenMetrics, Some("allow-utf-8")),
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=1.0.0;escaping=underscores;q=0.3,text/plain;version=0.0.4;q=0.2,\
             */*;q=0.1",
            (Format::OpenMetrics, Some("underscores")),
        ),
        (
            "application/openmetrics-text;version=1.0.0,\
             application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,\
             */*;q=0.1",
            (Format::OpenMetrics, None),
        ),
        (
            "text/plain;version=0.0.4;q=1,*/*;q=0.1",
            (Format::Text, None),
        ),
        (
            "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,\
             */*;q=0.1",
            (Format::Text, None),
        ),
        // The protobuf format, which is not spoken here, before the others.
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;q=0.6",
            (Format::OpenMetrics, None),
        ),
    ] {
        assert_eq!(accepts(accept), expected, "{accept}");
    }
}

#[test]
fn formats_by_weight_and_closeness() {
    use Format::{OpenMetrics, Text};
    for (accept, expected) in [
        ("*/*", Text),
        ("", Text),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Text),
        ("application/*", OpenMetrics),
        ("text/*;q=0.5, application/*;q=0.6", OpenMetrics),
        ("application/openmetrics-text", OpenMetrics),
        ("APPLICATION/OpenMetrics-Text; Version=1.0.0", OpenMetrics),
        (
            "application/openmetrics-text; version=\"1.0.0\"",
            OpenMetrics,
        ),
        ("application/openmetrics-text; version=2.0.0", Text),
        ("application/openmetrics-text;version=0.0.1", Text),
        // Of equals what is named, then what is first.
        ("*/*, application/openmetrics-text", OpenMetrics),
        ("text/plain, application/openmetrics-text", Text),
        ("application/openmetrics-text, text/plain", OpenMetrics),
        ("application/openmetrics-text;q=0, */*", Text),
        ("text/plain;q=0, */*", OpenMetrics),
        ("text/plain;q=0.1, */*;q=0.9", OpenMetrics),
        // What nobody can be given.
        ("image/png", Text),
        ("text/plain;q=0", Text),
        ("*/*;q=0", Text),
        (";;;,,q=1,/", Text),
    ] {
        assert_eq!(accepts(accept).0, expected, "{accept}");
    }
    let both = headers(
        ACCEPT,
        &["text/plain;q=0.5", "application/openmetrics-text"],
    );
    assert_eq!(format(&both).0, OpenMetrics);
    assert_eq!(format(&HeaderMap::new()), (Text, None));
}

#[test]
fn escaping_is_said_back_where_it_is_known() {
    let asked = |escaping: &str| accepts(&format!("text/plain;escaping={escaping}")).1;
    assert_eq!(asked("values"), Some("values"));
    assert_eq!(asked("allow-utf-8"), Some("allow-utf-8"));
    assert_eq!(asked("nonsense"), None);
    assert_eq!(asked(""), None);
}

#[test]
fn codings_by_weight() {
    use Coding::{Gzip, Identity, Zstd};
    for (accept, expected) in [
        ("", Some(Identity)),
        ("gzip", Some(Gzip)),
        ("zstd", Some(Zstd)),
        ("gzip, deflate, br, zstd", Some(Zstd)),
        ("gzip;q=1, zstd;q=0.5", Some(Gzip)),
        ("x-gzip", Some(Gzip)),
        ("GZIP", Some(Gzip)),
        ("deflate, br", Some(Identity)),
        ("identity", Some(Identity)),
        ("identity;q=0.5, gzip;q=0.1", Some(Identity)),
        ("gzip;q=0", Some(Identity)),
        ("*", Some(Zstd)),
        ("*;q=0.5, zstd;q=0", Some(Gzip)),
        ("identity;q=0, gzip", Some(Gzip)),
        ("identity;q=0", None),
        ("*;q=0", None),
        ("*;q=0, identity;q=0.1", Some(Identity)),
        ("br;q=1, identity;q=0", None),
    ] {
        assert_eq!(encodings(accept), expected, "{accept}");
    }
    assert_eq!(coding(&HeaderMap::new()), Some(Identity));
}

#[test]
fn weights_have_three_digits_at_most() {
    for (text, expected) in [
        ("0", Some(0)),
        ("1", Some(1000)),
        ("1.000", Some(1000)),
        ("0.5", Some(500)),
        ("0.05", Some(50)),
        ("0.999", Some(999)),
        (".5", Some(500)),
        ("1.5", None),
        ("2", None),
        ("-1", None),
        ("0.1234", None),
        ("x", None),
        ("0.x", None),
    ] {
        assert_eq!(weight(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn whatever_is_sent_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            headers.insert(ACCEPT, value.clone());
            headers.insert(ACCEPT_ENCODING, value);
        }
        let _ = (format(&headers), coding(&headers));
    }

    #[test]
    fn lists_of_known_words_are_answered(
        words in prop::collection::vec("(gzip|zstd|identity|\\*|br|\\*/\\*|text/plain|text/\\*|\
            application/openmetrics-text)( ?; ?(q=[01.]{0,4}|version=[0-9.]{1,5}|escaping=dots))*", 0..6)
    ) {
        let value = words.join(",");
        let _ = (accepts(&value), encodings(&value));
    }

    /// Whatever else is in a header, what is weighted higher is what comes.
    #[test]
    fn the_heavier_one_wins(low in 1_u16..1000, high in 1_u16..=1000) {
        let (low, high) = (low.min(high), low.max(high));
        proptest::prop_assume!(low < high);
        let q = |w: u16| if w == 1000 { "1".to_owned() } else { format!("0.{w:03}") };
        assert_eq!(encodings(&format!("gzip;q={}, zstd;q={}", q(high), q(low))), Some(Coding::Gzip));
        assert_eq!(encodings(&format!("gzip;q={}, zstd;q={}", q(low), q(high))), Some(Coding::Zstd));
        let both = |text, open| accepts(&format!(
            "text/plain;version=0.0.4;q={}, application/openmetrics-text;version=1.0.0;q={}", q(text), q(open)
        )).0;
        assert_eq!(both(high, low), Format::Text);
        assert_eq!(both(low, high), Format::OpenMetrics);
    }
}
