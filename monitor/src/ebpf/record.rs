//! Where the fields stand in the record of the plain tracepoint, from its `format` file.

use std::io;
use std::path::{Path, PathBuf};

use super::TRACEPOINT;
use super::offsets::Globals;

/// Where tracefs is mounted, below sysfs.
const MOUNTS: [&str; 2] = ["kernel/tracing", "kernel/debug/tracing"];

/// Why the record is not known, and so the plain tracepoint of no use.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There is no tracefs.
    #[error("tracefs is not mounted at {0}")]
    NoTracefs(PathBuf),
    /// There is, but not this tracepoint.
    #[error("the kernel has no tracepoint sock:{TRACEPOINT} (Linux 4.16)")]
    NoTracepoint,
    /// The `format` file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What came instead.
        source: io::Error,
    },
    /// The record lacks a field.
    #[error("the record of sock:{TRACEPOINT} has no field {0}")]
    NoField(&'static str),
}

/// Offsets in the record of the tracepoint `sock:inet_sock_set_state`, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    skaddr: u64,
    oldstate: u64,
    newstate: u64,
}

impl Record {
    /// Reads the record's layout from the tracefs that is mounted below `sysfs`.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn read(sysfs: &Path) -> Result<Self, RecordError> {
        let events = MOUNTS
            .iter()
            .map(|mount| sysfs.join(mount).join("events"))
            .find(|events| events.is_dir())
            .ok_or_else(|| RecordError::NoTracefs(sysfs.join(MOUNTS[0])))?;
        let path = events.join("sock").join(TRACEPOINT).join("format");
        match std::fs::read_to_string(&path) {
            Ok(format) => Self::parse(&format),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(RecordError::NoTracepoint),
            Err(source) => Err(RecordError::Unreadable { path, source }),
        }
    }

    /// Parses the tracepoint's `format` file (`Documentation/trace/events.rst`).
    ///
    /// # Errors
    /// It lacks a field.
    pub fn parse(format: &str) -> Result<Self, RecordError> {
        let offset = |name: &'static str| {
            let found = format.lines().find_map(|line| {
                let (declaration, rest) = line.trim().strip_prefix("field:")?.split_once(';')?;
                if !declaration.ends_with(&format!(" {name}")) {
                    return None;
                }
                rest.trim()
                    .strip_prefix("offset:")?
                    .split(';')
                    .next()?
                    .parse()
                    .ok()
            });
            found.ok_or(RecordError::NoField(name))
        };
        Ok(Self {
            skaddr: offset("skaddr")?,
            oldstate: offset("oldstate")?,
            newstate: offset("newstate")?,
        })
    }

    /// The program's globals.
    pub(super) fn globals(&self) -> Globals {
        let mut globals = Globals::default();
        globals.set("RECORD_SKADDR", self.skaddr);
        globals.set("RECORD_OLDSTATE", self.oldstate);
        globals.set("RECORD_NEWSTATE", self.newstate);
        globals
    }
}

#[cfg(test)]
mod tests;
