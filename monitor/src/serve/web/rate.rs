//! How many requests are answered: a bucket of tokens, as the toolkit has it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Problem;
use super::file::{RateSection, line};

/// One token an interval, and at most `burst` of them at a time.
#[derive(Debug)]
pub(super) struct RateLimit {
    interval: Duration,
    burst: f64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl RateLimit {
    /// Checks `rate_limit`; an interval of 0 is no limit.
    pub(super) fn new(section: RateSection) -> Result<Option<Self>, Problem> {
        let Some(interval) = &section.interval else {
            return Ok(None);
        };
        let problem = |line, what| Problem::new(line, format!("rate_limit.{what}"));
        let length = duration(&interval.value).ok_or_else(|| {
            let what = format!("interval: {:?} is no duration (1s, 500ms)", interval.value);
            problem(line(interval), what)
        })?;
        if length.is_zero() {
            return Ok(None);
        }
        let burst = match &section.burst {
            Some(burst) if burst.value >= 1 => burst.value as f64,
            burst => {
                let line = line(interval).max(burst.as_ref().and_then(line));
                let what = "burst: must be at least 1, or nothing would ever be answered";
                return Err(problem(line, what.to_owned()));
            }
        };
        Ok(Some(Self {
            interval: length,
            burst,
            bucket: Mutex::new(Bucket {
                tokens: burst,
                filled: Instant::now(),
            }),
        }))
    }

    /// Takes a token, where there is one.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_duration_since(bucket.filled);
        let new = since.as_secs_f64() / self.interval.as_secs_f64();
        bucket.tokens = (bucket.tokens + new).min(self.burst);
        bucket.filled = now;
        let admits = bucket.tokens >= 1.0;
        if admits {
            bucket.tokens -= 1.0;
        }
        admits
    }
}

/// A duration as Go writes it: numbers with units, such as `1m30s` or `1.5s`. A number alone is
/// nanoseconds.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(nanoseconds) = text.parse() {
        return Some(Duration::from_nanos(nanoseconds));
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let (unit, length) = [
            ("ns", 1e-9),
            ("us", 1e-6),
            ("µs", 1e-6),
            ("ms", 1e-3),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
        ]
        .into_iter()
        .find(|(unit, _)| behind.starts_with(unit))?;
        seconds += number.parse::<f64>().ok()? * length;
        rest = &behind[unit.len()..];
    }
    (!text.is_empty()).then_some(())?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, milliseconds) in [
            ("1s", 1000),
            ("1.5s", 1500),
            ("1m30s", 90_000),
            ("250ms", 250),
            ("1h", 3_600_000),
            ("5000000", 5),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in ["", "s", "1", "1 s", "-1s", "1d", "1..5s", "soon", "1s1"] {
            let found = duration(text);
            assert!(found.is_none() || text == "1", "{text}: {found:?}");
        }
    }

    #[test]
    fn tokens_come_back_one_by_one() {
        let limit = RateLimit {
            interval: Duration::from_secs(1),
            burst: 2.0,
            bucket: Mutex::new(Bucket {
                tokens: 2.0,
                filled: Instant::now(),
            }),
        };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs_f64(seconds);
        let admitted = [0.0, 0.0, 0.1, 1.2, 1.3, 9.0, 9.0, 9.0].map(|time| limit.admits(at(time)));
        assert_eq!(
            admitted,
            [true, true, false, true, false, true, true, false]
        );
    }
}
