//! The counters of network namespaces, from `/proc/<pid>/net/*` of one process of each.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::metrics::{CounterFile, Counters, FileReader, Schema};
use crate::procfs::Process;
use crate::procfs::process::is_gone;

/// Threads that read side by side. More would only wait for the kernel's locks on big machines.
const MAX_WORKERS: usize = 4;

/// Fewer namespaces than this are not worth a thread.
const MIN_PER_WORKER: usize = 32;

/// A namespace to be read: its inode number and a process in it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The namespace's inode number; if the process turns out to be in another one, what was read
    /// is thrown away.
    pub inode: u64,
    /// The process whose files are read.
    pub process: &'a Process,
}

/// How the reading of one file went, over all namespaces.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileOutcome {
    /// Time spent, summed over namespaces and threads.
    pub duration: Duration,
    /// Namespaces in which the file could not be read or understood. A file that the kernel does
    /// not have is no error, and neither is a process that exited.
    pub errors: u64,
}

/// What one round over all namespaces gave.
#[derive(Debug)]
pub struct NamespaceSamples {
    /// The counters of each target, in the order given; `None` where the process is gone or has
    /// moved on.
    pub counters: Vec<Option<Counters>>,
    /// The outcome of each enabled file.
    pub files: Vec<(CounterFile, FileOutcome)>,
}

/// Reads the enabled counter files.
#[derive(Debug)]
pub struct NamespaceSampler {
    empty: Counters,
    /// Files that need not be read where their counters are given.
    covered: Vec<CounterFile>,
    workers: Vec<Worker>,
}

/// What one thread reads with.
#[derive(Debug)]
struct Worker {
    files: Vec<(FileReader, FileOutcome)>,
    buffer: Vec<u8>,
}

impl NamespaceSampler {
    /// A sampler of `files`, whose counters go where `schema` says.
    pub fn new(schema: &Schema, files: &[CounterFile]) -> Self {
        let count = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(MAX_WORKERS);
        let worker = || Worker {
            files: files
                .iter()
                .map(|&file| (schema.reader(file), FileOutcome::default()))
                .collect(),
            buffer: Vec::new(),
        };
        Self {
            empty: schema.counters(),
            covered: Vec::new(),
            workers: (0..count).map(|_| worker()).collect(),
        }
    }

    /// Says whose counters it may be given.
    pub fn set_covered(&mut self, files: Vec<CounterFile>) {
        self.covered = files;
    }

    /// Reads all targets. `given` are counters that are there already, for each target; where
    /// there are none, all files are read.
    pub fn sample(
        &mut self,
        targets: &[Target<'_>],
        given: Vec<Option<Counters>>,
    ) -> NamespaceSamples {
        let mut counters = given;
        counters.resize(targets.len(), None);
        let share = targets
            .len()
            .div_ceil(self.workers.len())
            .max(MIN_PER_WORKER);
        let (empty, covered) = (&self.empty, &*self.covered);
        for worker in &mut self.workers {
            for (_, outcome) in &mut worker.files {
                *outcome = FileOutcome::default();
            }
        }
        thread::scope(|scope| {
            let mut shares = targets.chunks(share).zip(counters.chunks_mut(share));
            let mut workers = self.workers.iter_mut();
            // The first share is this thread's own.
            let own = shares.next().zip(workers.next());
            for ((targets, counters), worker) in shares.zip(workers) {
                scope.spawn(move || worker.sample(targets, counters, empty, covered));
            }
            if let Some(((targets, counters), worker)) = own {
                worker.sample(targets, counters, empty, covered);
            }
        });
        NamespaceSamples {
            counters,
            files: self.outcomes(),
        }
    }

    fn outcomes(&self) -> Vec<(CounterFile, FileOutcome)> {
        let Some((first, others)) = self.workers.split_first() else {
            return Vec::new();
        };
        let sum = |index: usize, (reader, outcome): &(FileReader, FileOutcome)| {
            let sum = others.iter().fold(*outcome, |sum, worker| {
                let outcome = worker.files[index].1;
                FileOutcome {
                    duration: sum.duration + outcome.duration,
                    errors: sum.errors + outcome.errors,
                }
            });
            (reader.file(), sum)
        };
        first
            .files
            .iter()
            .enumerate()
            .map(|(index, file)| sum(index, file))
            .collect()
    }
}

impl Worker {
    fn sample(
        &mut self,
        targets: &[Target<'_>],
        out: &mut [Option<Counters>],
        empty: &Counters,
        covered: &[CounterFile],
    ) {
        for (target, out) in targets.iter().zip(out) {
            let given = out.take();
            let covered = if given.is_some() { covered } else { &[] };
            let mut counters = given.unwrap_or_else(|| empty.clone());
            let mut errors = Vec::new();
            for (index, (reader, outcome)) in self.files.iter_mut().enumerate() {
                if covered.contains(&reader.file()) {
                    continue;
                }
                let start = Instant::now();
                let path = reader.file().path();
                let result = target.process.read(path, &mut self.buffer).and_then(|()| {
                    reader
                        .read(&self.buffer, &mut counters)
                        .map_err(io::Error::other)
                });
                outcome.duration += start.elapsed();
                if let Err(error) = result
                    && !is_gone(&error)
                {
                    errors.push((index, error));
                }
            }
            // The process was looked at before, when its namespace was found. If it is somewhere
            // else now, or gone, nothing that was read can be trusted, errors no more than values.
            if target.process.netns_inode().ok() != Some(target.inode) {
                continue;
            }
            for (index, error) in errors {
                let (reader, outcome) = &mut self.files[index];
                outcome.errors += 1;
                let (file, pid) = (reader.file().name(), target.process.pid());
                debug!(file, pid, inode = target.inode, %error, "not read");
            }
            *out = Some(counters);
        }
    }
}
