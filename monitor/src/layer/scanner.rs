//! Scanning layers in the background, one after another, no faster than its budget.
//!
//! A layer is scanned as soon as it is known, and again after a minute, or after twenty times what
//! its last scan took: big layers less often. The thread has the lowest priority and gives the
//! disk to others first.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::{debug, warn};

use super::quota;
use super::upper::open_on_host;
use super::walk::{Scope, Totals, walk};
use crate::procfs::Process;

/// Shortest time between two scans of a layer.
const INTERVAL: Duration = Duration::from_secs(60);

/// Longest one, however big the layer.
const LONGEST_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// How many times as long as a scan takes a layer is left alone after it.
const REST: u32 = 20;

/// Longest time that a new layer, told of between a look and a wait, goes unnoticed.
const NAP: Duration = Duration::from_secs(1);

/// How often the budget is given out.
const SLICE: Duration = Duration::from_millis(100);

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

    /// The layer that is due first, and when.
    fn next(&self) -> Option<(Path, Instant)> {
        let layers = self.lock();
        let next = layers.by_path.iter().min_by_key(|(_, layer)| layer.due)?;
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
    let mut pace = Pace::new(budget);
    while let Some(shared) = shared.upgrade() {
        let now = Instant::now();
        match shared.next() {
            Some((path, due)) if due <= now => scan(&shared, init, &path, &mut pace),
            Some((_, due)) => shared.wait((due - now).min(NAP)),
            None => shared.wait(NAP),
        }
    }
}

fn scan(shared: &Shared, init: &Process, path: &Path, pace: &mut Pace) {
    let start = Instant::now();
    let totals = open_on_host(init, path).and_then(|folder| {
        let sums = quota::totals(&folder, || pace.take());
        if sums.is_some() {
            return Ok(sums);
        }
        let mut entries = 0_u64;
        walk(folder, Scope::Whole, || {
            pace.take();
            entries += 1;
            if !entries.is_multiple_of(256) {
                return true;
            }
            let mut layers = shared.lock();
            layers.inodes += std::mem::take(&mut pace.taken);
            // The container may have ended meanwhile.
            layers.by_path.contains_key(path)
        })
    });
    let last = match totals {
        Ok(totals) => totals.map(|totals| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let timestamp = now.map_or(0, |since| since.as_secs());
            Last::Scanned(Scan { totals, timestamp })
        }),
        Err(error) => tell(path, &error, &mut pace.has_warned),
    };
    let mut layers = shared.lock();
    layers.inodes += std::mem::take(&mut pace.taken);
    if let Some(layer) = layers.by_path.get_mut(path) {
        layer.due = Instant::now() + interval(start.elapsed());
        layer.last = last.or(layer.last);
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

/// Gives out the budget.
#[derive(Debug)]
struct Pace {
    slice: u32,
    left: u32,
    ends: Instant,
    taken: u64,
    /// Whether a layer that cannot be scanned was told of.
    has_warned: bool,
}

impl Pace {
    fn new(budget: u32) -> Self {
        Self {
            // A slice has one at least.
            slice: (budget / 10).max(1),
            left: 0,
            ends: Instant::now(),
            taken: 0,
            has_warned: false,
        }
    }

    /// Takes one entry, after a while where the slice's are used up.
    fn take(&mut self) {
        self.taken += 1;
        if self.left == 0 {
            thread::sleep(self.ends.saturating_duration_since(Instant::now()));
            self.ends = Instant::now() + SLICE;
            self.left = self.slice;
        }
        self.left -= 1;
    }
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
mod tests {
    use super::*;
    use crate::testing::process;

    #[test]
    fn big_layers_rest_longer() {
        assert_eq!(interval(Duration::from_millis(5)), INTERVAL);
        assert_eq!(interval(Duration::from_secs(30)), Duration::from_secs(600));
        assert_eq!(interval(Duration::from_secs(36_000)), LONGEST_INTERVAL);
    }

    /// A scanner of one layer, and how its next scan ends.
    fn ends(scanner: &Scanner, path: &Path, expected: impl Fn(Last) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !scanner.last(path).is_some_and(&expected) {
            assert!(Instant::now() < end, "{:?}", scanner.last(path));
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_layer_that_cannot_be_scanned_any_more_has_no_number() {
        let folder = tempfile::tempdir().unwrap();
        let layer = folder.path().join("layer");
        std::fs::create_dir(&layer).unwrap();
        let path: Path = layer.as_os_str().as_encoded_bytes().into();
        let scanner = Scanner::start(process(), 1_000).unwrap();
        scanner.set(&[Arc::clone(&path)]);
        let again = || {
            let mut layers = scanner.shared.lock();
            layers.by_path.get_mut(&path).unwrap().due = Instant::now();
        };
        ends(&scanner, &path, |last| matches!(last, Last::Scanned(_)));
        // What is gone keeps its number, for as long as the container is there.
        std::fs::remove_dir(&layer).unwrap();
        again();
        thread::sleep(Duration::from_millis(50));
        ends(&scanner, &path, |last| matches!(last, Last::Scanned(_)));
        std::fs::write(&layer, "no folder").unwrap();
        again();
        ends(&scanner, &path, |last| last == Last::Failed);
    }

    #[test]
    fn a_budget_is_kept() {
        let mut pace = Pace::new(1_000);
        let start = Instant::now();
        for _ in 0..300 {
            pace.take();
        }
        // The first slice at once, the second and the third after a tenth of a second each.
        assert!(start.elapsed() >= SLICE * 2);
        assert_eq!(pace.taken, 300);
    }
}
