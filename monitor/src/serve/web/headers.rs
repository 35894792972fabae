//! Header fields that are added to every answer.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::Problem;
use super::file::{Text, line};

/// Those that the toolkit lets be set, and the values of those that have only some.
const ALLOWED: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// Checks `http_server_config.headers`. A blank value sets nothing.
pub(super) fn headers(given: BTreeMap<String, Text>) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    for (name, text) in given {
        let problem = |what: String| {
            Problem::new(
                line(&text),
                format!("http_server_config.headers: {name}: {what}"),
            )
        };
        let Some((_, values)) = ALLOWED.iter().find(|(allowed, _)| *allowed == name) else {
            let allowed = ALLOWED.map(|(name, _)| name).join(", ");
            return Err(problem(format!("cannot be set (these can: {allowed})")));
        };
        if text.value.is_empty() {
            continue;
        }
        if !values.is_empty() && !values.contains(&text.value.as_str()) {
            let values = values.join(" or ");
            return Err(problem(format!("{:?} is not {values}", text.value)));
        }
        let value = HeaderValue::from_str(&text.value)
            .map_err(|_| problem("may hold printable ASCII alone".to_owned()))?;
        let name = HeaderName::try_from(&name).map_err(|error| problem(error.to_string()))?;
        headers.insert(name, value);
    }
    Ok(headers)
}
