//! Waiting for something that another process does.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Calls `check` every 20 ms until it gives a value, at most for `limit`.
///
/// # Errors
/// What `check` failed with, at once; or, after `limit`, an error that names `what`.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut check: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = check()? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("{what}: not so within {:.1} s", limit.as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
