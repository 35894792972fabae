//! Asking file systems that answer at once, each once at a collection.

use std::collections::HashMap;

use tracing::debug;

use super::ask::{AskError, Root, Usage, ask};
use super::table::{Key, Listed};
use crate::procfs::Process;

/// A container's root, opened when it is first needed.
pub(super) struct LazyRoot<'p> {
    process: &'p Process,
    root: Option<Root>,
}

impl<'p> LazyRoot<'p> {
    pub(super) fn new(process: &'p Process) -> Self {
        Self {
            process,
            root: None,
        }
    }

    pub(super) fn get(&mut self) -> Result<&Root, AskError> {
        match &mut self.root {
            Some(root) => Ok(root),
            none => Ok(none.insert(Root::open(self.process)?)),
        }
    }
}

/// What was asked at one collection.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// `None` where the file system fails.
    usage: HashMap<Key, Option<Usage>>,
    /// Mounts that may not be looked at, or cannot be reached.
    pub(super) denied: u64,
}

/// Why nothing is published of a mount.
#[derive(Debug)]
pub(super) enum Absent {
    /// It is not there any more.
    Gone,
    /// There is nothing to be said of it.
    Silent,
}

impl Asked {
    /// How full a mount is: `None` where its file system fails.
    pub(super) fn ask(
        &mut self,
        root: &mut LazyRoot<'_>,
        mount: &Listed,
    ) -> Result<Option<Usage>, Absent> {
        // What may not be looked at shows nothing, whoever else may.
        if let Some(usage) = self.usage.get(&mount.key).filter(|_| mount.is_folder) {
            return Ok(*usage);
        }
        let usage = match root.get().and_then(|root| ask(root, mount)) {
            Ok(usage) => Some(usage),
            Err(AskError::Gone) => return Err(Absent::Gone),
            Err(AskError::Roomless) => return Err(Absent::Silent),
            // Another way may lead to the same file system.
            Err(error @ (AskError::Denied | AskError::Unreachable(_))) => {
                debug!(mountpoint = %String::from_utf8_lossy(&mount.point), %error, "cannot look at a mount");
                self.denied += 1;
                return Err(Absent::Silent);
            }
            Err(AskError::Failed(error)) => {
                debug!(mountpoint = %String::from_utf8_lossy(&mount.point), %error, "cannot ask a file system");
                None
            }
        };
        self.usage.insert(mount.key.clone(), usage);
        Ok(usage)
    }

    /// How many file systems fail.
    pub(super) fn failed(&self) -> u64 {
        self.usage.values().filter(|usage| usage.is_none()).count() as u64
    }
}
