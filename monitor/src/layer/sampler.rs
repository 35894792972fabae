//! Which layers there are, and what the scanner found in them.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use super::holder::{Holder, Holders};
use super::owner;
use super::scanner::{Last, Scan, Scanner};
use super::upper::{self, HostOverlays};
use crate::container::Container;
use crate::netns::Placement;
use crate::procfs::Process;
use crate::procfs::process::is_gone;

/// What is known at one collection.
#[derive(Debug, Default)]
pub struct LayerSample<'a> {
    /// The last scan of each container's layer.
    pub containers: Vec<(&'a Arc<Container>, Scan)>,
    /// What each container's layer lies on, where that is wanted.
    pub holders: Vec<(&'a Arc<Container>, Holder)>,
    /// Containers whose mounts cannot be read, and those whose layer could not be scanned the last
    /// time.
    pub errors: u64,
    /// How long it took.
    pub duration: Duration,
}

/// How long a process may still get its container's root: discovery may meet the runtime's own,
/// which becomes the container's, in the host's mount table. Also how often one that has no layer
/// is looked at again.
const SETTLED: Duration = Duration::from_secs(60);

/// How soon after the first look the second one is; each time after that is twice as long.
const SOON: Duration = Duration::from_secs(1);

/// A container's layer, as long as its process is the same.
#[derive(Debug)]
struct Known {
    /// Held so that no other process gets its address.
    #[expect(dead_code, reason = "it is there to be held")]
    process: Arc<Process>,
    path: Option<Arc<[u8]>>,
    first_seen: Instant,
    looked_up: Instant,
    is_wanted: bool,
}

impl Known {
    /// Whether what was found is taken to hold still.
    fn is_settled(&self, now: Instant) -> bool {
        let age = self.looked_up.duration_since(self.first_seen);
        let is_recent = now.duration_since(self.looked_up) < age.clamp(SOON, SETTLED);
        is_recent || (self.path.is_some() && age >= SETTLED)
    }
}

/// Follows the layers of all containers.
#[derive(Debug)]
pub struct LayerSampler {
    scanner: Scanner,
    init: Arc<Process>,
    /// By the address of the process that is held.
    known: HashMap<usize, Known>,
    holders: Option<Holders>,
    buffer: Vec<u8>,
}

impl LayerSampler {
    /// A sampler of what `scanner` finds; `init` is a process of the host.
    pub fn new(scanner: Scanner, init: Arc<Process>) -> Self {
        Self {
            scanner,
            init,
            known: HashMap::new(),
            holders: None,
            buffer: Vec::new(),
        }
    }

    /// Asks what the layers lie on too.
    #[must_use]
    pub fn with_holders(mut self) -> Self {
        self.holders = Some(Holders::new(Arc::clone(&self.init)));
        self
    }

    /// Entries that the scanner looked at since start.
    pub fn inodes(&self) -> u64 {
        self.scanner.inodes()
    }

    /// Tells the scanner of all containers of `placement` but pods' sandboxes, and takes what it
    /// knows of them.
    pub fn sample<'a>(&mut self, placement: &'a Placement) -> LayerSample<'a> {
        let start = Instant::now();
        let mut sample = LayerSample::default();
        for known in self.known.values_mut() {
            known.is_wanted = false;
        }
        if let Some(holders) = &mut self.holders {
            holders.begin();
        }
        let mut host = None;
        let mut paths = Vec::new();
        for (container, process) in placement.workloads() {
            let key = Arc::as_ptr(process).addr();
            let known = self.known.get(&key);
            let first_seen = known.map_or(start, |known| known.first_seen);
            if !known.is_some_and(|known| known.is_settled(start)) {
                let before = known.and_then(|known| known.path.clone());
                let path = match self.look_up(container, process, &mut host) {
                    Ok(path) => path,
                    Err(error) if is_gone(&error) => continue,
                    Err(error) => {
                        sample.errors += 1;
                        debug!(container = container.name, %error, "cannot read its mounts");
                        before
                    }
                };
                let known = Known {
                    process: Arc::clone(process),
                    path,
                    first_seen,
                    looked_up: start,
                    is_wanted: true,
                };
                self.known.insert(key, known);
            }
            let Some(known) = self.known.get_mut(&key) else {
                continue;
            };
            known.is_wanted = true;
            if let Some(path) = &known.path {
                paths.push(Arc::clone(path));
                match self.scanner.last(path) {
                    Some(Last::Scanned(scan)) => sample.containers.push((container, scan)),
                    Some(Last::Failed) => sample.errors += 1,
                    None => {}
                }
                let holder = self.holders.as_mut().and_then(|holders| holders.of(path));
                sample
                    .holders
                    .extend(holder.map(|holder| (container, holder)));
            }
        }
        self.known.retain(|_, known| known.is_wanted);
        self.scanner.set(&paths);
        sample.duration = start.elapsed();
        sample
    }

    /// The path of a container's layer; `host` is read where it is needed first.
    fn look_up(
        &mut self,
        container: &Container,
        process: &Process,
        host: &mut Option<HostOverlays>,
    ) -> io::Result<Option<Arc<[u8]>>> {
        process.read_records(c"mountinfo", &mut self.buffer)?;
        // What is not understood is an error of the collector of file systems.
        let Some(root) = upper::root(&self.buffer).ok().flatten() else {
            return Ok(None);
        };
        let host = host.get_or_insert_with(|| overlays(&self.init));
        let path = host.believe(&root, || is_host_s(container, process, &self.init));
        if path.is_none() {
            debug!(
                container = container.name,
                "its root is no overlayfs of the host's making, so it has no layer"
            );
        }
        Ok(path.map(Arc::from))
    }
}

/// The overlayfs of the host; none where they cannot be read.
fn overlays(init: &Process) -> HostOverlays {
    let mut text = Vec::new();
    let read = init.read_records(c"mountinfo", &mut text);
    match read.map(|()| HostOverlays::new(&text)) {
        Ok(Ok(overlays)) => return overlays,
        Ok(Err(error)) => debug!(%error, "the host's mounts are not understood"),
        Err(error) => debug!(%error, "the host's mounts cannot be read"),
    }
    HostOverlays::default()
}

/// Whether none but the host's root can have mounted what a container shows.
fn is_host_s(container: &Container, process: &Process, init: &Process) -> bool {
    owner::is_host_s(process, init).unwrap_or_else(|error| {
        debug!(container = container.name, %error, "cannot tell who mounts its file systems");
        false
    })
}

#[cfg(test)]
mod tests;
