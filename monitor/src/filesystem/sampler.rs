//! All containers' file systems, once for a collection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::ask::Usage;
use super::asked::{Absent, Asked, LazyRoot};
use super::listings::Listings;
use super::slow::SlowMounts;
use super::table::{Listed, Rules};
use crate::container::Container;
use crate::netns::Placement;
use crate::procfs::Process;

/// A mount of a container, and how full it is.
#[derive(Clone, Debug)]
pub struct MountSample {
    /// The mount.
    pub mount: Arc<Listed>,
    /// `None` where the file system fails, or does not answer.
    pub usage: Option<Usage>,
}

/// What one collection found.
#[derive(Debug, Default)]
pub struct FilesystemSample<'a> {
    /// The mounts of each container.
    pub containers: Vec<(&'a Arc<Container>, Vec<MountSample>)>,
    /// File systems that fail or do not answer, mounts that may not be looked at, and containers
    /// whose mounts cannot be read.
    pub errors: u64,
    /// Mounts left out because their container has too many.
    pub left_out: u64,
    /// How long it took.
    pub duration: Duration,
}

/// Asks the mounts of all containers.
#[derive(Debug)]
pub struct FilesystemSampler {
    listings: Listings,
    slow: SlowMounts,
    was_refused: bool,
    was_denied: bool,
}

impl FilesystemSampler {
    /// A sampler that leaves out what `rules` say. `init` is a process of the host: who shares its
    /// mounts has none of its own.
    pub fn new(rules: Rules, init: Arc<Process>) -> Self {
        Self {
            listings: Listings::new(rules, init),
            slow: SlowMounts::default(),
            was_refused: false,
            was_denied: false,
        }
    }

    /// Asks the mounts of all containers of `placement` but pods' sandboxes, each file system
    /// once.
    pub fn sample<'a>(&mut self, placement: &'a Placement) -> FilesystemSample<'a> {
        let start = Instant::now();
        let mut sample = FilesystemSample::default();
        self.listings.begin();
        self.slow.begin();
        let mut asked = Asked::default();
        for (container, process) in placement.workloads() {
            match self.listings.of(process) {
                Ok(Some(listing)) => {
                    sample.left_out += listing.left_out;
                    let found = self.ask(process, &listing.mounts, &mut asked);
                    if !found.is_empty() {
                        sample.containers.push((container, found));
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    sample.errors += 1;
                    if !std::mem::replace(&mut self.was_refused, true) {
                        warn!(
                            container = container.name, pid = process.pid(), %error,
                            "cannot read a container's mounts (needs CAP_SYS_PTRACE)"
                        );
                    }
                }
            }
        }
        self.listings.end();
        self.slow.settle();
        let denied = asked.denied + self.slow.denied();
        if denied > 0 && !std::mem::replace(&mut self.was_denied, true) {
            warn!(
                mounts = denied,
                "mounts of containers may not be looked at (folders of other users want \
                 CAP_DAC_READ_SEARCH; a FUSE without allow_other is its user's alone)"
            );
        }
        for (_, mounts) in &mut sample.containers {
            mounts.retain_mut(|found| {
                found.mount.is_prompt() || self.slow.fill(&found.mount, &mut found.usage)
            });
        }
        sample.errors += asked.failed() + self.slow.failed() + denied;
        sample.duration = start.elapsed();
        sample
    }

    /// Asks the mounts of a container, and those that may hang later.
    fn ask(
        &mut self,
        process: &Arc<Process>,
        mounts: &[Arc<Listed>],
        asked: &mut Asked,
    ) -> Vec<MountSample> {
        let mut root = LazyRoot::new(process);
        let mut found = Vec::with_capacity(mounts.len());
        for mount in mounts {
            let usage = if !mount.is_prompt() {
                self.slow.want(process, mount);
                None
            } else {
                match asked.ask(&mut root, mount) {
                    Ok(usage) => usage,
                    Err(Absent::Gone) => {
                        self.listings.doubt(process);
                        continue;
                    }
                    Err(Absent::Silent) => continue,
                }
            };
            found.push(MountSample {
                mount: Arc::clone(mount),
                usage,
            });
        }
        found
    }
}
