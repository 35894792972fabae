//! URLs that are taken and refused, and when to come again.

use super::*;

#[test]
fn urls_are_read_or_refused_with_their_reason() {
    let target = |url| Target::new(url, str::to_owned);
    let read = target("http://[::1]:4318/a?b=c").unwrap();
    assert_eq!((read.host.as_str(), read.port), ("::1", 4318));
    assert_eq!(
        (read.authority.as_str(), read.path().as_str()),
        ("[::1]:4318", "/a?b=c")
    );
    assert_eq!(target("http://agent/x").unwrap().port, 80);
    for (url, error) in [
        ("https://a/", TargetError::Tls),
        ("ftp://a/", TargetError::Scheme),
        ("http://u:p@a/", TargetError::User),
        ("127.0.0.1:1988", TargetError::NoUrl),
        ("/v1/push", TargetError::NoUrl),
        ("http://a:0/", TargetError::NoUrl),
        ("http://a:99999/", TargetError::NoUrl),
        ("http://a b/", TargetError::NoUrl),
        ("", TargetError::NoUrl),
    ] {
        assert_eq!(target(url), Err(error), "{url}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = humantime::parse_rfc3339("2026-02-03T04:05:06Z").unwrap();
    let after = |text: &'static str| {
        let headers = [(RETRY_AFTER, HeaderValue::from_static(text))];
        retry_after(&headers.into_iter().collect(), now)
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(after("7"), seconds(7));
    assert_eq!(after("Tue, 03 Feb 2026 04:06:06 GMT"), seconds(60));
    assert_eq!(after("Tue, 03 Feb 2026 04:04:06 GMT"), seconds(0));
    assert_eq!(after("soon"), None);
    assert_eq!(after("-1"), None);
}
