//! The kernel's own counters as the schema has them, compared with the files again and again.

use std::collections::HashMap;
use std::io;

use super::agreement::{Disagreement, disagreement};
use super::{CountersError, NamedTarget, process};
use crate::ebpf::passes::{Layout, NamespacePass, Passes};
use crate::metrics::reader::plausible;
use crate::metrics::schema::SlotSource;
use crate::metrics::{CounterFile, Counters, FileReader, Kind, Schema};
use crate::procfs::process::is_gone;
use crate::procfs::{Number, Process};

/// Namespaces that are compared at every collection.
const COMPARED: usize = 2;

/// How often what disagrees is looked at again before it is believed: a process that moved to
/// another namespace meanwhile looks like a wrong counter.
const ATTEMPTS: u32 = 3;

/// What the pass's counters are, and the files that show the same.
#[derive(Debug)]
pub(super) struct KernelCounters {
    sources: Vec<SlotSource>,
    /// Slot of each of the pass's counters; `None` for one that is not published from it.
    slots: Vec<Option<usize>>,
    /// The slots that are published from it.
    published: Vec<usize>,
    /// Readers of the files that need not be read.
    readers: Vec<FileReader>,
    covered: Vec<CounterFile>,
    /// The target that is compared next.
    next: usize,
    buffer: Vec<u8>,
}

/// One pass over the namespaces.
pub(super) struct Walk {
    /// The counters of each target; `None` for a namespace that was not met.
    pub(super) counters: Vec<Option<Counters>>,
    pub(super) pass: NamespacePass,
    /// What cannot be right, if anything.
    pub(super) disagreement: Option<Disagreement>,
}

impl KernelCounters {
    /// Finds out what the pass can be asked for: a field that the host's files do not show is not
    /// published, and a file that shows a published field which the pass does not know must be
    /// read.
    ///
    /// # Errors
    /// The pass fails, or disagrees with the host's files.
    pub(super) fn new(
        passes: &mut Passes,
        layout: &Layout,
        schema: &Schema,
        files: &[CounterFile],
        host: NamedTarget<'_>,
    ) -> Result<Self, CountersError> {
        let mut counters = Self {
            sources: schema.slots().to_vec(),
            slots: Vec::new(),
            published: Vec::new(),
            readers: files.iter().map(|&file| schema.reader(file)).collect(),
            covered: Vec::new(),
            next: 0,
            buffer: Vec::new(),
        };
        let shown = counters
            .read(process(&host), &schema.counters())
            .map_err(CountersError::Files)?;
        let uncovered = |file: CounterFile| {
            let of_file = |slot: &&usize| counters.sources[**slot].file == file;
            let mut missing = layout.missing().iter().filter(of_file);
            let sockstat = matches!(file, CounterFile::Sockstat | CounterFile::Sockstat6);
            sockstat || missing.any(|&slot| shown.get(slot).is_some())
        };
        counters.covered = files
            .iter()
            .copied()
            .filter(|&file| !uncovered(file))
            .collect();
        let covered = counters.covered.clone();
        counters
            .readers
            .retain(|reader| covered.contains(&reader.file()));
        let sources = &counters.sources;
        let is_shown = |slot: usize| {
            // A gauge may be below zero for this one moment, and so be nothing.
            let of_file = |other: &usize| sources[*other].file == sources[slot].file;
            let has_file = || {
                layout
                    .slots()
                    .filter(of_file)
                    .any(|s| shown.get(s).is_some())
            };
            shown.get(slot).is_some() || (sources[slot].kind == Kind::Gauge && has_file())
        };
        counters.slots = layout
            .slots()
            .map(|slot| (covered.contains(&sources[slot].file) && is_shown(slot)).then_some(slot))
            .collect();
        counters.published = counters.slots.iter().flatten().copied().collect();

        let mut last = None;
        for _ in 0..ATTEMPTS {
            let walk = counters
                .walk(passes, &[host], &schema.counters())
                .map_err(CountersError::Pass)?;
            if walk.counters[0].is_none() {
                return Err(CountersError::NoHost);
            }
            match walk.disagreement {
                None => return Ok(counters),
                disagreement => last = disagreement,
            }
        }
        let last = last.map(|disagreement| disagreement.to_string());
        Err(CountersError::Disagreement(last.unwrap_or_default()))
    }

    /// Files that need not be read where there are counters.
    pub(super) fn covered(&self) -> &[CounterFile] {
        &self.covered
    }

    /// Walks all namespaces, and compares some of the targets with their files.
    ///
    /// # Errors
    /// The pass fails.
    pub(super) fn walk(
        &mut self,
        passes: &mut Passes,
        targets: &[NamedTarget<'_>],
        empty: &Counters,
    ) -> io::Result<Walk> {
        let chosen: Vec<usize> = (0..COMPARED.min(targets.len()))
            .map(|offset| (self.next + offset) % targets.len())
            .collect();
        self.next = self.next.wrapping_add(COMPARED);
        let has_cookie = passes.has_cookie();
        let mut walk = self.walk_once(passes, &chosen, targets, has_cookie, empty)?;
        let mut attempts = 1;
        while walk.disagreement.is_some() && attempts < ATTEMPTS {
            walk = self.walk_once(passes, &chosen, targets, has_cookie, empty)?;
            attempts += 1;
        }
        Ok(walk)
    }

    fn walk_once(
        &mut self,
        passes: &mut Passes,
        chosen: &[usize],
        targets: &[NamedTarget<'_>],
        has_cookie: bool,
        empty: &Counters,
    ) -> io::Result<Walk> {
        let before: Vec<_> = chosen
            .iter()
            .map(|&at| self.read(process(&targets[at]), empty).ok())
            .collect();
        let pass = passes.namespaces()?;
        let places = places(&pass);
        let counters: Vec<Option<Counters>> = targets
            .iter()
            .map(|target| {
                let inode = target.target.inode;
                let place = match (has_cookie, target.cookie) {
                    (true, Some(cookie)) => places.by_key.get(&cookie),
                    _ => places.by_inode.get(&inode),
                };
                Some(self.counters(pass.counters(*place?)?, empty))
            })
            .collect();
        let disagreement = chosen.iter().zip(before).find_map(|(&at, before)| {
            let target = &targets[at];
            let after = self.read(process(target), empty).ok()?;
            let (before, kernel) = (before?, counters[at].as_ref()?);
            // Of a process that has moved on, the files are another namespace's.
            if process(target).netns_inode().ok()? != target.target.inode {
                return None;
            }
            disagreement(&self.sources, &self.published, &before, kernel, &after)
        });
        Ok(Walk {
            counters,
            pass,
            disagreement,
        })
    }

    /// The covered files of a process, read in the usual way.
    fn read(&mut self, process: &Process, empty: &Counters) -> io::Result<Counters> {
        let mut counters = empty.clone();
        for reader in &mut self.readers {
            match process.read(reader.file().path(), &mut self.buffer) {
                Ok(()) => reader
                    .read(&self.buffer, &mut counters)
                    .map_err(io::Error::other)?,
                // This kernel does not have it.
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(counters)
    }

    /// The counters of one namespace, in the schema's slots.
    fn counters(&self, values: &[u64], empty: &Counters) -> Counters {
        let mut counters = empty.clone();
        for (slot, &value) in self.slots.iter().zip(values) {
            if let Some(slot) = *slot {
                let source = &self.sources[slot];
                counters.set(
                    slot,
                    plausible(source.kind == Kind::Gauge, number(source, value)),
                );
            }
        }
        counters
    }
}

/// A counter's value as its file shows it: one of them, which may be -1, has a sign.
fn number(source: &SlotSource, value: u64) -> Number {
    match value.cast_signed() {
        signed @ ..0 if source.group == "Tcp" && source.field == "MaxConn" => {
            Number::Negative(signed)
        }
        _ => Number::Unsigned(value),
    }
}

/// Places of namespaces in a pass.
struct Places {
    by_key: HashMap<u64, usize>,
    by_inode: HashMap<u64, usize>,
}

fn places(pass: &NamespacePass) -> Places {
    let all = || pass.namespaces.iter().enumerate();
    Places {
        by_key: all().map(|(place, found)| (found.key, place)).collect(),
        by_inode: all().map(|(place, found)| (found.inode, place)).collect(),
    }
}
