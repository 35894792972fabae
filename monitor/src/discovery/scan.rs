//! When `/proc` is scanned for containers, and how the scans went; the scan itself stands in
//! [`cgroup`](super::cgroup).

use std::collections::HashSet;
use std::sync::Arc;

use tracing::warn;

use super::cgroup::Scanner;
use super::{SourceState, SourceStatus};
use crate::container::Container;
use crate::procfs::ProcFs;

/// The value of the `runtime` label of the source without a runtime.
const RUNTIME: &str = "cgroup";

/// When the source without a runtime is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanMode {
    /// Never.
    Off,
    /// Until a runtime has answered.
    UntilRuntimeAnswers,
    /// Always, for what no runtime knows.
    Always,
}

/// The source without a runtime. It is asked at every scrape, so that it has no state that could
/// be out of date.
#[derive(Debug)]
pub struct ScanSource {
    mode: ScanMode,
    scanner: Scanner,
    was_denied: bool,
    denied: u64,
    is_up: bool,
}

impl ScanSource {
    /// A source that has not scanned yet.
    pub fn new(mode: ScanMode) -> Self {
        Self {
            mode,
            scanner: Scanner::new(),
            was_denied: false,
            denied: 0,
            is_up: true,
        }
    }

    /// Whether the next [`containers`](Self::containers) will scan, given what the runtimes say.
    pub fn is_active(&self, runtimes: &[SourceStatus]) -> bool {
        match self.mode {
            ScanMode::Off => false,
            // Nor while the first attempt runs: its containers would get other names for a moment.
            ScanMode::UntilRuntimeAnswers => !runtimes
                .iter()
                .any(|runtime| runtime.answered || runtime.state == SourceState::Starting),
            ScanMode::Always => true,
        }
    }

    /// The containers in network namespaces other than those in `known`, each with the inode number
    /// of its own. Container ids in `taken` are a runtime's.
    pub fn containers(
        &mut self,
        procfs: &ProcFs,
        host_inode: u64,
        known: &HashSet<u64>,
        taken: &HashSet<&str>,
    ) -> Vec<(Arc<Container>, u64)> {
        let scan = match self.scanner.scan(procfs, host_inode, known, taken) {
            Ok(scan) => scan,
            Err(error) => {
                if std::mem::replace(&mut self.is_up, false) {
                    warn!(%error, "cannot scan the proc file system for containers");
                }
                return Vec::new();
            }
        };
        self.is_up = true;
        self.denied = scan.denied as u64;
        let was_denied = std::mem::replace(&mut self.was_denied, scan.denied > 0);
        if scan.denied > 0 && !was_denied {
            warn!(
                processes = scan.denied,
                "cannot look at the network namespaces of some processes; their containers may be \
                 missing (needs CAP_SYS_PTRACE)"
            );
        }
        scan.containers.into_iter().zip(scan.inodes).collect()
    }

    /// Processes that the last scan was not allowed to look at.
    pub fn denied(&self) -> u64 {
        self.denied
    }

    /// What the metrics show of it.
    pub fn status(&self) -> (&'static str, bool) {
        (RUNTIME, self.is_up)
    }
}
