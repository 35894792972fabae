//! All containers' file systems, once for a collection.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::ask::{AskError, Root, Usage, ask, check};
use super::slow::SlowMounts;
use super::table::{Key, Listed, Rules, listed};
use crate::container::Container;
use crate::netns::Placement;
use crate::procfs::Process;
use crate::procfs::process::is_gone;

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

/// What is remembered of a container: valid as long as its `mountinfo` says the same.
#[derive(Debug)]
struct Known {
    /// Held so that no other process gets its address.
    #[expect(dead_code, reason = "it is there to be held")]
    process: Arc<Process>,
    text: Box<[u8]>,
    mounts: Vec<Arc<Listed>>,
    left_out: u64,
    is_wanted: bool,
}

/// Asks the mounts of all containers.
#[derive(Debug)]
pub struct FilesystemSampler {
    rules: Rules,
    host_mounts: Option<u64>,
    /// By the address of the process that is held.
    known: HashMap<usize, Known>,
    slow: SlowMounts,
    buffer: Vec<u8>,
    was_refused: bool,
    was_denied: bool,
}

impl FilesystemSampler {
    /// A sampler that leaves out what `rules` say. `init` is a process of the host: who shares its
    /// mounts has none of its own.
    pub fn new(rules: Rules, init: &Process) -> Self {
        Self {
            rules,
            host_mounts: init.mount_namespace().ok(),
            known: HashMap::new(),
            slow: SlowMounts::default(),
            buffer: Vec::new(),
            was_refused: false,
            was_denied: false,
        }
    }

    /// Asks the mounts of all containers of `placement` but pods' sandboxes, each file system
    /// once.
    pub fn sample<'a>(&mut self, placement: &'a Placement) -> FilesystemSample<'a> {
        let start = Instant::now();
        let mut sample = FilesystemSample::default();
        for known in self.known.values_mut() {
            known.is_wanted = false;
        }
        self.slow.begin();
        let mut asked = HashMap::new();
        let mut denied = 0;
        for (container, process) in placement.workloads() {
            match self.mounts(process) {
                Ok(Some((mounts, left_out))) => {
                    sample.left_out += left_out;
                    let mut root = LazyRoot::new(process);
                    let mounts = mounts.iter().filter_map(|mount| {
                        let usage = prompt_usage(&mut root, mount, &mut asked, &mut denied)?;
                        Some(MountSample {
                            mount: Arc::clone(mount),
                            usage,
                        })
                    });
                    let mounts: Vec<MountSample> = mounts.collect();
                    for found in mounts.iter().filter(|found| !found.mount.is_prompt) {
                        self.slow.ask(process, &found.mount);
                    }
                    if !mounts.is_empty() {
                        sample.containers.push((container, mounts));
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
        self.known.retain(|_, known| known.is_wanted);
        self.slow.settle();
        denied += self.slow.denied();
        if denied > 0 && !std::mem::replace(&mut self.was_denied, true) {
            warn!(
                mounts = denied,
                "mounts of containers may not be looked at (folders of other users want \
                 CAP_DAC_READ_SEARCH; a FUSE without allow_other is its user's alone)"
            );
        }
        for (_, mounts) in &mut sample.containers {
            mounts.retain_mut(|found| {
                found.mount.is_prompt || self.slow.fill(&found.mount, &mut found.usage)
            });
        }
        let failed = asked.values().filter(|usage| usage.is_none()).count();
        sample.errors += failed as u64 + self.slow.failed() + denied;
        sample.duration = start.elapsed();
        sample
    }

    /// The mounts of a process that are published, and how many more there are; `None` where it
    /// has the host's, or has exited.
    fn mounts(&mut self, process: &Arc<Process>) -> io::Result<Option<(Vec<Arc<Listed>>, u64)>> {
        let key = Arc::as_ptr(process).addr();
        // Who had mounts of its own a moment ago has them as long as they are the same.
        if !self.known.contains_key(&key) && self.has_host_s(process)? {
            return Ok(None);
        }
        match process.read_records(c"mountinfo", &mut self.buffer) {
            Ok(()) => {}
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        if let Some(known) = self.known.get_mut(&key) {
            if *known.text == *self.buffer {
                known.is_wanted = true;
                return Ok(Some((known.mounts.clone(), known.left_out)));
            }
            if self.has_host_s(process)? {
                return Ok(None);
            }
        }
        let (mut mounts, left_out) = listed(&self.buffer, &self.rules)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        // Whether a mount is one of a file does not change, and is looked up once.
        let mut root = LazyRoot::new(process);
        mounts.retain(|mount| {
            let mut check = || root.get().and_then(|root| check(root, mount));
            !mount.is_prompt || !matches!(check(), Err(AskError::Roomless))
        });
        let mounts: Vec<Arc<Listed>> = mounts.into_iter().map(Arc::new).collect();
        let known = Known {
            process: Arc::clone(process),
            text: self.buffer.as_slice().into(),
            mounts: mounts.clone(),
            left_out,
            is_wanted: true,
        };
        self.known.insert(key, known);
        Ok(Some((mounts, left_out)))
    }

    /// Whether a process has the host's mounts, or none any more.
    fn has_host_s(&self, process: &Process) -> io::Result<bool> {
        match process.mount_namespace() {
            Ok(namespace) => Ok(Some(namespace) == self.host_mounts),
            Err(error) if is_gone(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// A container's root, opened when it is first needed.
struct LazyRoot<'p> {
    process: &'p Process,
    root: Option<Root>,
}

impl<'p> LazyRoot<'p> {
    fn new(process: &'p Process) -> Self {
        Self {
            process,
            root: None,
        }
    }

    fn get(&mut self) -> Result<&Root, AskError> {
        match &mut self.root {
            Some(root) => Ok(root),
            none => Ok(none.insert(Root::open(self.process)?)),
        }
    }
}

/// How full a mount is, if it answers at once: `Some(None)` where the file system fails, or is to
/// be asked otherwise, `None` where there is nothing to be published.
fn prompt_usage(
    root: &mut LazyRoot<'_>,
    mount: &Listed,
    asked: &mut HashMap<Key, Option<Usage>>,
    denied: &mut u64,
) -> Option<Option<Usage>> {
    if !mount.is_prompt {
        return Some(None);
    }
    if let Some(usage) = asked.get(&mount.key) {
        return Some(*usage);
    }
    let usage = match root.get().and_then(|root| ask(root, mount)) {
        Ok(usage) => Some(usage),
        Err(AskError::Gone | AskError::Roomless) => return None,
        // Another way may lead to the same file system.
        Err(AskError::Denied) => {
            *denied += 1;
            return None;
        }
        Err(AskError::Failed(error)) => {
            debug!(mountpoint = %String::from_utf8_lossy(&mount.point), %error, "cannot ask a file system");
            None
        }
    };
    asked.insert(mount.key.clone(), usage);
    Some(usage)
}
