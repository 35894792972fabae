//! When to come again.

use super::*;

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
