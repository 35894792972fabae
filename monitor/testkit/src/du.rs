//! What `du` says of a folder.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::child::output_within;

/// How long it may take for many files.
const LIMIT: Duration = Duration::from_secs(60);

/// Bytes of disk that a folder takes, and inodes in it, itself left out.
///
/// # Errors
/// When it cannot be read, and without `du`.
pub fn of(folder: &Path) -> Result<[f64; 2]> {
    let first = |option: &str| -> Result<f64> {
        let mut command = Command::new("du");
        command.args(["-s", option]).arg(folder);
        let text = output_within(command, LIMIT)?;
        let number = text.split_whitespace().next();
        Ok(number.context("du is silent")?.parse()?)
    };
    Ok([first("--block-size=1")?, first("--inodes")? - 1.0])
}
