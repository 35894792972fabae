//! Which mounts each container has, remembered as long as they are the same.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tracing::debug;

use super::ask::{AskError, check};
use super::asked::LazyRoot;
use super::table::{Listed, MOST, Rules, SlowPlaces, listed};
use super::unchanged::{Changes, Seen};
use crate::procfs::Process;
use crate::procfs::process::is_gone;

/// The mounts of a container that are published.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) mounts: Arc<[Arc<Listed>]>,
    /// How many more it has.
    pub(super) left_out: u64,
}

/// What is remembered of a container: valid as long as its `mountinfo` says the same.
#[derive(Debug)]
struct Known {
    /// Held so that no other process gets its address.
    #[expect(dead_code, reason = "it is there to be held")]
    process: Arc<Process>,
    text: Box<[u8]>,
    seen: Option<Seen>,
    listing: Listing,
    is_wanted: bool,
}

/// The mounts of all containers.
#[derive(Debug)]
pub(super) struct Listings {
    rules: Rules,
    init: Arc<Process>,
    host_mounts: Option<u64>,
    /// As of the collection, once they are needed.
    slow_places: Option<SlowPlaces>,
    /// By the address of the process that is held.
    known: HashMap<usize, Known>,
    changes: Changes,
    buffer: Vec<u8>,
}

impl Listings {
    /// None yet. `rules` say what is left out, and `init` is a process of the host: who shares its
    /// mounts has none of its own.
    pub(super) fn new(rules: Rules, init: Arc<Process>) -> Self {
        Self {
            rules,
            host_mounts: init.mount_namespace().ok(),
            changes: Changes::new(&init),
            init,
            slow_places: None,
            known: HashMap::new(),
            buffer: Vec::new(),
        }
    }

    /// Begins a collection.
    pub(super) fn begin(&mut self) {
        self.slow_places = None;
        for known in self.known.values_mut() {
            known.is_wanted = false;
        }
    }

    /// Forgets the containers that were not asked for.
    pub(super) fn end(&mut self) {
        self.known.retain(|_, known| known.is_wanted);
    }

    /// Has a process's mounts read the next time: one of them is not where it was.
    pub(super) fn doubt(&mut self, process: &Arc<Process>) {
        if let Some(known) = self.known.get_mut(&key(process)) {
            known.seen = None;
        }
    }

    /// The mounts of a process; `None` where it has the host's, or has exited.
    ///
    /// # Errors
    /// They cannot be read, or are not understood.
    pub(super) fn of(&mut self, process: &Arc<Process>) -> io::Result<Option<Listing>> {
        match self.read(process) {
            Err(error) if is_gone(&error) => Ok(None),
            result => result,
        }
    }

    fn read(&mut self, process: &Arc<Process>) -> io::Result<Option<Listing>> {
        let key = key(process);
        // Who had mounts of its own a moment ago has them as long as they are the same.
        if !self.known.contains_key(&key) && self.has_host_s(process)? {
            return Ok(None);
        }
        // Before the text: what changes meanwhile shows the next time.
        self.changes.look(process);
        if let Some(known) = self.known.get_mut(&key)
            && let Some(seen) = &known.seen
            && self.changes.is_as(seen)
        {
            known.is_wanted = true;
            return Ok(Some(known.listing.clone()));
        }
        process.read_records(c"mountinfo", &mut self.buffer)?;
        if let Some(known) = self.known.get_mut(&key) {
            if *known.text == *self.buffer {
                known.seen = self.changes.seen(&known.listing.mounts);
                known.is_wanted = true;
                return Ok(Some(known.listing.clone()));
            }
            if self.has_host_s(process)? {
                return Ok(None);
            }
        }
        let text: Box<[u8]> = self.buffer.as_slice().into();
        let listing = self.list(process, &text)?;
        let known = Known {
            process: Arc::clone(process),
            text,
            seen: self.changes.seen(&listing.mounts),
            listing: listing.clone(),
            is_wanted: true,
        };
        self.known.insert(key, known);
        Ok(Some(listing))
    }

    fn list(&mut self, process: &Process, text: &[u8]) -> io::Result<Listing> {
        if self.slow_places.is_none() {
            self.slow_places = Some(self.find_slow_places());
        }
        let slow = self.slow_places.get_or_insert_default();
        let (mut mounts, left_out) = listed(text, &self.rules, slow)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        // Whether a mount is one of a file does not change, and is looked up once.
        let mut root = LazyRoot::new(process);
        mounts.retain_mut(|mount| {
            let looked = if mount.is_prompt() {
                root.get().and_then(|root| check(root, mount))
            } else {
                return true;
            };
            mount.is_folder = looked.is_ok();
            !matches!(looked, Err(AskError::Roomless))
        });
        let more = mounts.len().saturating_sub(MOST) as u64;
        mounts.truncate(MOST);
        Ok(Listing {
            mounts: mounts.into_iter().map(Arc::new).collect(),
            left_out: left_out + more,
        })
    }

    /// Where the host has file systems that may hang: layers of images may lie on one.
    fn find_slow_places(&mut self) -> SlowPlaces {
        let read = self.init.read_records(c"mountinfo", &mut self.buffer);
        let found = read.map(|()| SlowPlaces::of(&self.buffer));
        match found {
            Ok(Ok(places)) => return places,
            Ok(Err(error)) => debug!(%error, "the host's mounts are not understood"),
            Err(error) => debug!(%error, "the host's mounts cannot be read"),
        }
        SlowPlaces::default()
    }

    /// Whether a process has the host's mounts.
    fn has_host_s(&self, process: &Process) -> io::Result<bool> {
        Ok(Some(process.mount_namespace()?) == self.host_mounts)
    }
}

/// What a process is known by, as long as it is held.
fn key(process: &Arc<Process>) -> usize {
    Arc::as_ptr(process).addr()
}
