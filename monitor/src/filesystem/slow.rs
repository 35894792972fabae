//! File systems that may not answer: those of a server (NFS, CIFS, Ceph) or of a program (FUSE).
//!
//! They are asked on threads of their own, of which those hang that ask what hangs. A collection
//! waits a moment for answers, for all of them together, and then takes the last ones. A mount that
//! has had no answer for longer than a few seconds is an error; and where one is waited for from
//! before, nothing else is asked of the same server.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::ask::{AskError, Root, Usage, ask};
use super::table::{Key, Listed, Server};
use crate::procfs::Process;

/// How long a collection waits for answers; a server nearby needs a millisecond.
const WAIT: Duration = Duration::from_millis(20);

/// How long an answer may take, as node_exporter's `--collector.filesystem.mount-timeout`.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a server may take before nothing else is asked of it: until then its other folders
/// have their turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most threads that may hang.
const MOST_THREADS: usize = 64;

/// Most threads that are begun at one collection.
const MOST_NEW: usize = 8;

/// Most threads that ask one server.
const MOST_OF_ONE: usize = 4;

type Answer = Result<Usage, AskError>;

/// A file system to be asked, in one of the places where it is mounted.
#[derive(Debug)]
struct Job {
    key: Key,
    server: Server,
    places: Vec<(Arc<Process>, Arc<Listed>)>,
}

impl Job {
    /// Asks in one place after the other, until the fault is none of the place.
    fn run(&self) -> Answer {
        let mut answer = Err(AskError::Gone);
        for (process, mount) in &self.places {
            answer = Root::open(process).and_then(|root| ask(&root, mount));
            match &answer {
                Err(error) if error.is_of_this_mount() => {}
                _ => break,
            }
        }
        answer
    }
}

/// What the threads share.
#[derive(Debug, Default)]
struct Work {
    /// What nobody has begun yet.
    queue: VecDeque<Job>,
    /// What is under way: since when, and of which server.
    begun: HashMap<Key, (Instant, Server)>,
    threads: usize,
}

impl Work {
    /// Takes a job whose server has not enough threads already.
    fn next(&mut self) -> Option<Job> {
        let at = self.queue.iter().position(|job| {
            let of_one = self.begun.values().filter(|(_, of)| *of == job.server);
            of_one.count() < MOST_OF_ONE
        })?;
        let job = self.queue.remove(at)?;
        self.begun
            .insert(job.key.clone(), (Instant::now(), job.server));
        Some(job)
    }
}

#[derive(Debug, Default)]
struct Known {
    last: Option<Answer>,
    /// Since when an answer is waited for.
    waits: Option<Instant>,
    is_wanted: bool,
}

/// Asks file systems that may hang.
#[derive(Debug)]
pub(super) struct SlowMounts {
    known: HashMap<Key, Known>,
    jobs: Vec<Job>,
    /// Where a file system's job stands in `jobs`.
    places: HashMap<Key, usize>,
    /// Servers of which it was said that they do not answer.
    silent: HashSet<Server>,
    work: Arc<Mutex<Work>>,
    answers: Receiver<(Job, Answer)>,
    answer: Sender<(Job, Answer)>,
}

impl Default for SlowMounts {
    fn default() -> Self {
        let (answer, answers) = channel();
        Self {
            known: HashMap::new(),
            jobs: Vec::new(),
            places: HashMap::new(),
            silent: HashSet::new(),
            work: Arc::default(),
            answers,
            answer,
        }
    }
}

impl SlowMounts {
    /// Begins a collection.
    pub(super) fn begin(&mut self) {
        self.take_answers();
        for known in self.known.values_mut() {
            known.is_wanted = false;
        }
        self.jobs.clear();
        self.places.clear();
    }

    /// Says that a mount is to be asked at this collection.
    pub(super) fn want(&mut self, process: &Arc<Process>, mount: &Arc<Listed>) {
        let place = (Arc::clone(process), Arc::clone(mount));
        if let Some(&at) = self.places.get(&mount.key) {
            self.jobs[at].places.push(place);
            return;
        }
        let known = self.known.entry(mount.key.clone()).or_default();
        known.is_wanted = true;
        self.places.insert(mount.key.clone(), self.jobs.len());
        self.jobs.push(Job {
            key: mount.key.clone(),
            server: mount.server,
            places: vec![place],
        });
    }

    /// Asks what is wanted, waits for answers, though not for long, and forgets what is not wanted.
    pub(super) fn settle(&mut self) {
        self.take_answers();
        let now = Instant::now();
        let mut asked = 0;
        for job in &self.jobs {
            let known = self.known.entry(job.key.clone()).or_default();
            known.waits.get_or_insert(now);
        }
        // Who has waited longest comes first: where answers take longer than collections are apart,
        // all have their turn.
        let since = |job: &Job| self.known.get(&job.key).and_then(|known| known.waits);
        self.jobs.sort_by_key(since);
        {
            let mut work = lock(&self.work);
            // What hangs keeps its server's others from being asked.
            let begun = work.begun.values();
            let hangs = begun.filter(|(since, _)| since.elapsed() > PATIENCE);
            let hangs: Vec<Server> = hangs.map(|(_, of)| *of).collect();
            let jobs = self.jobs.drain(..);
            let jobs = jobs
                .filter(|job| !hangs.contains(&job.server) && !work.begun.contains_key(&job.key));
            work.queue = jobs.collect();
            asked += work.queue.len();
            let room = MOST_THREADS.saturating_sub(work.threads);
            for _ in 0..asked.min(MOST_NEW).min(room) {
                self.begin_thread(&mut work);
            }
        }
        let deadline = now + WAIT;
        while asked > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((job, answer)) = self.answers.recv_timeout(left) else {
                break;
            };
            // One of an earlier collection ends the wait sooner, no more.
            asked -= 1;
            self.take(&job, answer);
        }
        let work = lock(&self.work);
        self.known
            .retain(|key, known| known.is_wanted || work.begun.contains_key(key));
    }

    fn begin_thread(&self, work: &mut Work) {
        let (shared, answer) = (Arc::clone(&self.work), self.answer.clone());
        let thread = thread::Builder::new().name("slow-mount".to_owned());
        let begun = thread.spawn(move || {
            loop {
                let job = {
                    let mut work = lock(&shared);
                    match work.next() {
                        Some(job) => job,
                        None => {
                            work.threads -= 1;
                            return;
                        }
                    }
                };
                let found = job.run();
                lock(&shared).begun.remove(&job.key);
                // Nobody may wait for it any more.
                let _ = answer.send((job, found));
            }
        });
        match begun {
            Ok(_) => work.threads += 1,
            Err(error) => debug!(%error, "no thread to ask a file system"),
        }
    }

    fn take_answers(&mut self) {
        while let Ok((job, answer)) = self.answers.try_recv() {
            self.take(&job, answer);
        }
    }

    fn take(&mut self, job: &Job, answer: Answer) {
        self.silent.remove(&job.server);
        if let Some(known) = self.known.get_mut(&job.key) {
            known.last = Some(answer);
            known.waits = None;
        }
    }

    /// Puts what is known of a mount into `usage`, `None` where its file system fails or does not
    /// answer. Returns whether there is anything to be published: not yet where it has only just
    /// been asked for the first time, and never where the mount is gone, has no room of its own or
    /// may not be looked at.
    pub(super) fn fill(&mut self, mount: &Listed, usage: &mut Option<Usage>) -> bool {
        let Some(known) = self.known.get(&mount.key) else {
            return false;
        };
        if known.is_late() {
            if self.silent.insert(mount.server) {
                warn!(
                    mountpoint = %String::from_utf8_lossy(&mount.point),
                    device = %String::from_utf8_lossy(&mount.source),
                    fstype = %String::from_utf8_lossy(&mount.fs_type),
                    "a container's file system does not answer; it is not asked again before it does"
                );
            }
            return true;
        }
        match &known.last {
            Some(Ok(known)) => *usage = Some(*known),
            Some(Err(AskError::Failed(_))) => {}
            None
            | Some(Err(
                AskError::Gone | AskError::Roomless | AskError::Denied | AskError::Unreachable(_),
            )) => return false,
        }
        true
    }

    /// How many file systems fail or do not answer.
    pub(super) fn failed(&self) -> u64 {
        self.count(|known| known.is_late() || matches!(known.last, Some(Err(AskError::Failed(_)))))
    }

    /// How many may not be looked at, or cannot be reached.
    pub(super) fn denied(&self) -> u64 {
        self.count(|known| {
            let last = &known.last;
            let is_denied = matches!(last, Some(Err(AskError::Denied | AskError::Unreachable(_))));
            is_denied && !known.is_late()
        })
    }

    fn count(&self, is_counted: fn(&Known) -> bool) -> u64 {
        let wanted = self.known.values().filter(|known| known.is_wanted);
        wanted.filter(|known| is_counted(known)).count() as u64
    }
}

impl Known {
    /// Whether an answer has been waited for too long.
    fn is_late(&self) -> bool {
        self.waits.is_some_and(|since| since.elapsed() > TIMEOUT)
    }
}

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}
