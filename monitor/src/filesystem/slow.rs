//! File systems that may not answer: those of a server (NFS, CIFS, Ceph) or of a program (FUSE).
//!
//! Each is asked on a thread of its own, which hangs as long as the file system does. A collection
//! waits a moment for answers, for all of them together, and then takes the last one; an ask that
//! has been under way for longer than a few seconds is an error of that device, and the device is
//! not asked again before it has answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

use super::ask::{AskError, Root, Usage, ask};
use super::table::{Key, Listed};
use crate::procfs::Process;
use crate::procfs::mountinfo::Device;

/// How long a collection waits for answers; a server nearby needs a millisecond.
const WAIT: Duration = Duration::from_millis(20);

/// How long an ask may take, as node_exporter's `--collector.filesystem.mount-timeout`.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Most threads that may hang; what would need one more is an error.
const MOST_THREADS: usize = 64;

#[derive(Debug, Default)]
struct Known {
    last: Option<Result<Usage, AskError>>,
    pending: Option<Pending>,
    wanted: bool,
}

#[derive(Debug)]
struct Pending {
    begun: Instant,
    answer: Receiver<Result<Usage, AskError>>,
    was_said: bool,
}

/// Asks file systems that may hang.
#[derive(Debug, Default)]
pub(super) struct SlowMounts {
    /// When this collection began.
    begun: Option<Instant>,
    known: HashMap<Key, Known>,
}

impl SlowMounts {
    /// Begins a collection.
    pub(super) fn begin(&mut self) {
        self.begun = Some(Instant::now());
        for known in self.known.values_mut() {
            known.wanted = false;
        }
    }

    /// Asks a mount, if its device is not being asked already.
    pub(super) fn ask(&mut self, process: &Arc<Process>, mount: &Arc<Listed>) {
        if let Some(known) = self.known.get_mut(&mount.key)
            && known.wanted
        {
            return;
        }
        let mut under_way = 0;
        let mut is_asked = false;
        for (key, known) in &mut self.known {
            // An answer that came since makes room.
            known.take_answer(Duration::ZERO);
            if let Some(pending) = &known.pending {
                under_way += 1;
                // Several folders of one device are asked side by side; what hangs from before
                // keeps all of them from it.
                is_asked |= key.device == mount.key.device && Some(pending.begun) < self.begun;
            }
        }
        let known = self.known.entry(mount.key.clone()).or_default();
        known.wanted = true;
        if is_asked {
            return;
        }
        if under_way >= MOST_THREADS {
            known.last = Some(Err(AskError::Failed(std::io::ErrorKind::WouldBlock.into())));
            return;
        }
        let (sender, answer) = channel();
        let (process, mount) = (Arc::clone(process), Arc::clone(mount));
        let thread = thread::Builder::new().name("slow-mount".to_owned());
        let begun = thread.spawn(move || {
            // Nobody may wait for it any more.
            let _ = sender.send(Root::open(&process).and_then(|root| ask(&root, &mount)));
        });
        match begun {
            Ok(_) => {
                known.pending = Some(Pending {
                    begun: Instant::now(),
                    answer,
                    was_said: false,
                });
            }
            Err(error) => known.last = Some(Err(AskError::Failed(error))),
        }
    }

    /// Waits for what was asked, though not for long, and forgets what nobody asked for.
    pub(super) fn settle(&mut self) {
        let deadline = Instant::now() + WAIT;
        for known in self.known.values_mut() {
            // What hung before is not waited for again.
            let is_fresh = |pending: &Pending| pending.begun.elapsed() < WAIT;
            if known.pending.as_ref().is_some_and(is_fresh) {
                known.take_answer(deadline.saturating_duration_since(Instant::now()));
            }
        }
        self.known
            .retain(|_, known| known.wanted || known.pending.is_some());
    }

    /// Puts what is known of a mount into `usage`, `None` where its file system fails or does not
    /// answer. Returns whether there is anything to be published: not yet where it has only just
    /// been asked for the first time, and never where the mount is gone, has no room of its own or
    /// may not be looked at.
    pub(super) fn fill(&mut self, mount: &Listed, usage: &mut Option<Usage>) -> bool {
        if self.hangs(mount.key.device, mount) {
            return true;
        }
        match self
            .known
            .get(&mount.key)
            .and_then(|known| known.last.as_ref())
        {
            Some(Ok(known)) => *usage = Some(*known),
            Some(Err(AskError::Failed(_))) => {}
            None | Some(Err(AskError::Gone | AskError::Roomless | AskError::Denied)) => {
                return false;
            }
        }
        true
    }

    /// How many file systems fail or do not answer.
    pub(super) fn failed(&self) -> u64 {
        let fails = |known: &&Known| match &known.pending {
            Some(pending) => pending.begun.elapsed() > TIMEOUT,
            None => matches!(known.last, Some(Err(AskError::Failed(_)))),
        };
        self.known.values().filter(fails).count() as u64
    }

    /// How many may not be looked at.
    pub(super) fn denied(&self) -> u64 {
        let is_denied = |known: &&Known| {
            known.pending.is_none() && matches!(known.last, Some(Err(AskError::Denied)))
        };
        self.known.values().filter(is_denied).count() as u64
    }

    /// Whether a device has been asked for too long.
    fn hangs(&mut self, device: Device, mount: &Listed) -> bool {
        let late = self.known.iter_mut().find_map(|(key, known)| {
            let pending = known.pending.as_mut()?;
            (key.device == device && pending.begun.elapsed() > TIMEOUT).then_some(pending)
        });
        if let Some(pending) = late {
            if !std::mem::replace(&mut pending.was_said, true) {
                warn!(
                    mountpoint = %String::from_utf8_lossy(&mount.point),
                    device = %String::from_utf8_lossy(&mount.source),
                    fstype = %String::from_utf8_lossy(&mount.fs_type),
                    "a container's file system does not answer; it is not asked again before it does"
                );
            }
            return true;
        }
        false
    }
}

impl Known {
    /// Takes the answer, if it is there within `wait`.
    fn take_answer(&mut self, wait: Duration) {
        let Some(pending) = &self.pending else {
            return;
        };
        match pending.answer.recv_timeout(wait) {
            Ok(answer) => {
                self.last = Some(answer);
                self.pending = None;
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The thread panicked.
            Err(RecvTimeoutError::Disconnected) => {
                self.last = Some(Err(AskError::Failed(std::io::ErrorKind::Other.into())));
                self.pending = None;
            }
        }
    }
}
