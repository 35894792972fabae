//! Whether a process's mounts are what they were, without reading its `mountinfo`, which is what
//! takes longest.
//!
//! From Linux 6.11 a mount namespace and every mount in it have numbers that are never given
//! again, and the kernel lists them (listmount(2), statmount(2)). Where the same ones are listed,
//! and those that are published can be written to as before, nothing was mounted, unmounted or
//! remounted. Only that a mount was moved, or the process's root, does not show.

mod sys;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use super::table::Listed;
use crate::procfs::Process;

/// For how long nothing else is looked at: what does not show is seen then.
const FRESH: Duration = Duration::from_secs(60);

/// How much sooner that is of some containers, in seconds, so that it is not of all at once.
const SOONER: u64 = 30;

/// Most mounts of one process that are compared.
const MOST: usize = 4096;

/// What a process's mounts were.
#[derive(Debug)]
pub(super) struct Seen {
    namespace: u64,
    ids: Box<[u64]>,
    /// Those that are published, and whether they are read-only.
    listed: Vec<(u64, bool)>,
    until: Instant,
}

/// Compares.
#[derive(Debug)]
pub(super) struct Changes {
    ids: Vec<u64>,
    namespace: u64,
    count: usize,
    is_possible: bool,
}

impl Changes {
    /// Finds out whether it can be had, by a process of the host.
    pub(super) fn new(init: &Process) -> Self {
        let mut changes = Self {
            ids: vec![0; MOST],
            namespace: 0,
            count: 0,
            is_possible: true,
        };
        // Who may not see a namespace is told that there is none.
        if let Err(error) = changes.list(init) {
            debug!(%error, "mounts are not listed by their numbers (Linux 6.11, CAP_SYS_ADMIN)");
            changes.is_possible = false;
        }
        changes
    }

    /// Lists a process's mounts by their numbers, to be compared or remembered. Where that cannot
    /// be had, nothing is ever unchanged.
    pub(super) fn look(&mut self, process: &Process) {
        self.count = 0;
        if !self.is_possible {
            return;
        }
        match self.list(process) {
            // There may be more of them.
            Ok(MOST) => {}
            Ok(count) => self.count = count,
            // Its last process may have ended meanwhile: reading what it has mounted tells.
            Err(error) => debug!(pid = process.pid(), %error, "cannot list its mounts"),
        }
    }

    fn list(&mut self, process: &Process) -> io::Result<usize> {
        let file = process.open_mount_namespace()?;
        self.namespace = sys::namespace(&file)?;
        sys::mounts(self.namespace, &mut self.ids)
    }

    /// Whether all is as it was.
    pub(super) fn is_as(&self, seen: &Seen) -> bool {
        let is_same = self.namespace == seen.namespace && self.ids[..self.count] == *seen.ids;
        is_same
            && Instant::now() < seen.until
            && seen.listed.iter().all(|&(id, readonly)| {
                let found = sys::mount(seen.namespace, id);
                found.is_ok_and(|(_, now)| now == readonly)
            })
    }

    /// What is to be remembered of what was last looked at, where `mountinfo` had these mounts
    /// after it.
    pub(super) fn seen(&self, listed: &[Arc<Listed>]) -> Option<Seen> {
        let ids = &self.ids[..self.count];
        if ids.is_empty() {
            return None;
        }
        let all: Vec<(u64, u64)> = ids
            .iter()
            .filter_map(|&id| Some((sys::mount(self.namespace, id).ok()?.0, id)))
            .collect();
        let listed = listed.iter().map(|mount| {
            let (_, id) = all.iter().find(|(old, _)| *old == mount.id)?;
            Some((*id, mount.readonly))
        });
        Some(Seen {
            namespace: self.namespace,
            ids: ids.into(),
            listed: listed.collect::<Option<_>>()?,
            until: Instant::now() + FRESH - Duration::from_secs(self.namespace % SOONER),
        })
    }
}
