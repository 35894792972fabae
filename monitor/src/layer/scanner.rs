//! Scanning layers in the background, one after another, no faster than its budget. Big ones take
//! turns with the others, so that none waits for them.
//!
//! A layer is scanned as soon as it is known, and again after a minute, or after twenty times what
//! its last scan took: big layers less often. The thread has the lowest priority and gives the
//! disk to others first.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::{debug, warn};

use super::pace::Pace;
use super::quota;
use super::upper::open_on_host;
use super::walk::{Scope, Totals, Walk};
use crate::procfs::Process;

/// Shortest time between two scans of a layer.
const INTERVAL: Duration = Duration::from_secs(60);

/// Longest one, however big the layer.
const LONGEST_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// How many times as long as a scan takes a layer is left alone after it.
const REST: u32 = 20;

/// Longest time that a new layer, told of between a look and a wait, goes unnoticed.
const NAP: Duration = Duration::from_secs(1);

/// Entries after which the scan of a layer leaves the turn to others: 7 s of the usual budget.
const BIG: u64 = 10_000;

/// Entries of a turn of a big layer where no other is due: a new one waits that long.
const TURN: u64 = 500;

/// Most scans that are open: each keeps the folders open that it is in, and remembers links.
const MOST_OPEN: usize = 4;

/// What a scan found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// What is in the layer.
    pub totals: Totals,
    /// When it ended, in seconds since the Unix epoch.
    pub timestamp: u64,
}

/// A layer by its path on the host.
type Path = Arc<[u8]>;

/// How the last scan of a layer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// With numbers.
    Scanned(Scan),
    /// With an error: what was found before is of a layer that is another by now.
    Failed,
}

#[derive(Debug)]
struct Layer {
    due: Instant,
    last: Option<Last>,
    /// Whether the last scan had to leave the turn to others.
    is_big: bool,
}

#[derive(Debug, Default)]
struct Layers {
    by_path: HashMap<Path, Layer>,
    /// Entries looked at since start.
    inodes: u64,
}

#[derive(Debug, Default)]
struct Shared {
    layers: Mutex<Layers>,
    changed: Condvar,
}

/// Scans layers on a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct Scanner {
    shared: Arc<Shared>,
}

impl Scanner {
    /// A scanner that looks at `budget` entries a second at most. `init` is a process of the host.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub fn start(init: Arc<Process>, budget: u32) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::downgrade(&shared);
        thread::Builder::new()
            .name("layer-scanner".to_owned())
            .spawn(move || {
                lower_priority();
                scan_for_ever(&theirs, &init, budget);
            })?;
        Ok(Self { shared })
    }

    /// Says which layers there are. Those that are not among them are forgotten.
    pub fn set(&self, paths: &[Path]) {
        let mut layers = self.shared.lock();
        let now = Instant::now();
        let known = layers.by_path.len();
        let wanted: HashSet<&Path> = paths.iter().collect();
        layers.by_path.retain(|path, _| wanted.contains(path));
        let mut has_new = layers.by_path.len() != known;
        for path in paths {
            layers.by_path.entry(Arc::clone(path)).or_insert_with(|| {
                has_new = true;
                Layer {
                    due: now,
                    last: None,
                    is_big: false,
                }
            });
        }
        drop(layers);
        if has_new {
            self.shared.changed.notify_all();
        }
    }

    /// How the last scan of a layer ended, if there was one.
    pub fn last(&self, path: &[u8]) -> Option<Last> {
        self.shared.lock().by_path.get(path)?.last
    }

    /// Entries looked at since start.
    pub fn inodes(&self) -> u64 {
        self.shared.lock().inodes
    }
}

impl Drop for Scanner {
    fn drop(&mut self) {
        // The thread finds out that nobody holds the other end any more.
        self.shared.lock().by_path.clear();
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Layers> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The layer that is due first, and when, beside those of open scans. While as many are open
    /// as may be, no other big one is.
    fn next(&self, open: &VecDeque<Open>) -> Option<(Path, Instant)> {
        let layers = self.lock();
        let can_begin = |(path, layer): &(&Path, &Layer)| {
            let is_open = open.iter().any(|open| open.path == **path);
            !is_open && (open.len() < MOST_OPEN || !layer.is_big)
        };
        let next = layers.by_path.iter().filter(can_begin);
        let next = next.min_by_key(|(_, layer)| layer.due)?;
        Some((Arc::clone(next.0), next.1.due))
    }

    /// Waits for a change of the layers, at most for `time`.
    fn wait(&self, time: Duration) {
        let layers = self.lock();
        // Why it woke makes no difference.
        let _ = self.changed.wait_timeout(layers, time);
    }
}

/// Ends when `shared` is dropped.
fn scan_for_ever(shared: &Weak<Shared>, init: &Process, budget: u32) {
    let mut scans = Scans::new(init, budget, BIG);
    while let Some(shared) = shared.upgrade() {
        if let Some(wait) = scans.go_on(&shared) {
            shared.wait(wait.min(NAP));
        }
    }
}

/// A scan that was begun.
#[derive(Debug)]
struct Open {
    path: Path,
    walk: Walk,
    entries: u64,
    spent: Duration,
}

/// The scans of all layers: one after another, but for big ones, which stay open and take turns
/// with the others.
#[derive(Debug)]
struct Scans<'a> {
    init: &'a Process,
    pace: Pace,
    /// Entries after which a scan leaves the turn to others.
    big: u64,
    /// The scans of big layers; the first one's turn is next.
    open: VecDeque<Open>,
    /// Entries that others had since the last turn of one of these.
    owed: u64,
    /// Whether a layer that cannot be scanned was told of.
    has_warned: bool,
}

impl<'a> Scans<'a> {
    fn new(init: &'a Process, budget: u32, big: u64) -> Self {
        Self {
            init,
            pace: Pace::new(budget),
            big,
            open: VecDeque::new(),
            owed: 0,
            has_warned: false,
        }
    }

    /// Scans a layer that is due, or goes on with a big one for as many entries as others had
    /// meanwhile. Where there is nothing to do it gives the time until there is.
    fn go_on(&mut self, shared: &Shared) -> Option<Duration> {
        let now = Instant::now();
        let next = shared.next(&self.open);
        let has_turn = self.open.is_empty() || self.owed == 0;
        match next {
            Some((path, due)) if due <= now && has_turn => self.begin(shared, path),
            next => match self.open.pop_front() {
                Some(open) => {
                    let entries = match std::mem::take(&mut self.owed) {
                        0 => TURN,
                        owed => owed,
                    };
                    let left = self.turn(shared, open, entries);
                    self.open.extend(left);
                }
                None => return Some(next.map_or(NAP, |(_, due)| due - now)),
            },
        }
        None
    }

    /// Begins with a layer. A big one stays open, where not too many are.
    fn begin(&mut self, shared: &Shared, path: Path) {
        let start = Instant::now();
        let before = self.pace.taken;
        let walk = open_on_host(self.init, &path).and_then(|folder| {
            match quota::totals(&folder, || self.pace.take()) {
                Some(totals) => Ok(Err(totals)),
                None => Walk::new(folder, Scope::Whole).map(Ok),
            }
        });
        let walk = match walk {
            Ok(Ok(walk)) => walk,
            Ok(Err(totals)) => return self.end(shared, &path, Ok(totals), start.elapsed()),
            Err(error) => return self.end(shared, &path, Err(error), start.elapsed()),
        };
        let open = Open {
            path: Arc::clone(&path),
            walk,
            entries: 0,
            spent: start.elapsed(),
        };
        let left = self.turn(shared, open, self.big);
        if !self.open.is_empty() {
            self.owed = self.pace.taken - before;
        }
        if let Some(left) = left {
            if let Some(layer) = shared.lock().by_path.get_mut(&path) {
                layer.is_big = true;
            }
            // One too many begins anew when another has ended.
            if self.open.len() < MOST_OPEN {
                self.open.push_back(left);
            }
        }
    }

    /// Goes on with a scan for so many entries; gives it back where there is more.
    fn turn(&mut self, shared: &Shared, mut open: Open, entries: u64) -> Option<Open> {
        let start = Instant::now();
        let mut left = entries;
        let mut is_wanted = true;
        let totals = open.walk.go_on(|| {
            self.pace.take();
            open.entries += 1;
            left -= 1;
            if open.entries.is_multiple_of(256) {
                let mut layers = shared.lock();
                layers.inodes += self.pace.report();
                // The container may have ended meanwhile.
                is_wanted = layers.by_path.contains_key(&open.path);
            }
            is_wanted && left > 0
        });
        open.spent += start.elapsed();
        match totals.transpose() {
            Some(result) => {
                if result.is_ok()
                    && let Some(layer) = shared.lock().by_path.get_mut(&open.path)
                {
                    layer.is_big = open.entries > self.big;
                }
                self.end(shared, &open.path, result, open.spent);
                None
            }
            None => is_wanted.then_some(open),
        }
    }

    /// Ends a scan that took so long.
    fn end(&mut self, shared: &Shared, path: &Path, result: io::Result<Totals>, spent: Duration) {
        let last = match result {
            Ok(totals) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let timestamp = now.map_or(0, |since| since.as_secs());
                Some(Last::Scanned(Scan { totals, timestamp }))
            }
            Err(error) => tell(path, &error, &mut self.has_warned),
        };
        let mut layers = shared.lock();
        layers.inodes += self.pace.report();
        if let Some(layer) = layers.by_path.get_mut(path) {
            layer.due = Instant::now() + interval(spent);
            layer.last = last.or(layer.last);
        }
    }
}

/// Tells of a scan that failed, and what it means for the layer: `None` where it is gone, as that
/// of a container that ended.
fn tell(path: &[u8], error: &io::Error, has_warned: &mut bool) -> Option<Last> {
    let path = String::from_utf8_lossy(path);
    let hint = match error.kind() {
        io::ErrorKind::NotFound => {
            debug!(%path, "a writable layer is gone");
            return None;
        }
        io::ErrorKind::PermissionDenied => " (folders of others need CAP_DAC_READ_SEARCH)",
        _ => "",
    };
    if std::mem::replace(has_warned, true) {
        debug!(%path, %error, "cannot scan a container's writable layer{hint}");
    } else {
        warn!(%path, %error, "cannot scan a container's writable layer{hint}");
    }
    Some(Last::Failed)
}

/// How long a layer is left alone after a scan that took so long.
fn interval(took: Duration) -> Duration {
    (took * REST).clamp(INTERVAL, LONGEST_INTERVAL)
}

/// Lets everybody else go first, at the CPU and at the disk. Where that cannot be had the thread
/// is as others.
fn lower_priority() {
    const LOWEST: libc::c_int = 19;
    const IOPRIO_WHO_PROCESS: libc::c_long = 1;
    /// `IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)`
    const IDLE: libc::c_long = 3 << 13;
    // SAFETY: both change the calling thread's own priority and touch no memory.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, LOWEST);
        libc::syscall(
            libc::SYS_ioprio_set,
            IOPRIO_WHO_PROCESS,
            0 as libc::c_long,
            IDLE,
        );
    }
}

#[cfg(test)]
mod tests;
