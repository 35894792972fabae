//! TCP sockets of each container by state, and its accept queues.
//!
//! A look at the sockets is a pass over the kernel's tables, or sock_diag in each namespace where
//! that cannot be had. Scrapes that come soon after one share it, and expensive ones are made less
//! often. Whose the sockets are is decided at every scrape.

mod judge;
mod namespaces;
mod pace;
mod self_test;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use monitor_ebpf::Key;
use tracing::{debug, warn};

use self::judge::Judge;
pub use self::namespaces::NamespaceStates;
pub use self::pace::Pace;
use super::counters::NamedTarget;
use super::places::{HostNamespace, Places, Subject, Tally};
use crate::cgroups::Cgroups;
use crate::container::Container;
use crate::ebpf::passes::{NamespacePass, Passes};
use crate::metrics::{CounterFile, Schema};
use crate::netns::Placement;
use crate::tcp::invariants::Facts;
use crate::tcp::listeners::{self, Queues};
use crate::tcp::sock_diag::{self, Outcome};
use crate::tcp::{SocketTable, StateCounts};
pub use self_test::{SelfTestError, self_test};

/// How often in a row the kernel's tables may fail, or disagree with the files, before sock_diag
/// takes over.
const STRIKES: u32 = 3;

/// Where the sockets are looked for, when it is for somebody to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpStatesMode {
    /// In the kernel's tables where that can be, else over sock_diag.
    Auto,
    /// In the kernel's tables, or not at all.
    Kernel,
    /// Over sock_diag.
    SockDiag,
    /// Nowhere.
    Off,
}

/// Where the sockets are looked for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpStatesSource {
    /// In the kernel's tables.
    Kernel,
    /// Over sock_diag.
    SockDiag,
    /// Nowhere.
    Off,
}

impl TcpStatesSource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kernel, Self::SockDiag, Self::Off];

    /// The value of the label `source`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::SockDiag => "sock_diag",
            Self::Off => "off",
        }
    }
}

/// One look at all sockets.
#[derive(Debug)]
pub struct Look {
    table: SocketTable,
    has_cookie: bool,
    /// Inode numbers of the namespaces that were looked at.
    counted: HashSet<u64>,
    /// When it was begun.
    pub taken: Instant,
    /// Kernel time that it took.
    pub duration: Duration,
    /// The longest time that it held a CPU.
    pub longest_slice: Duration,
    /// Sockets seen, those of no container too.
    pub sockets: u64,
    /// Those of them that stand under the owner of their namespace for want of room in the map.
    pub folded: u64,
    /// By how many sockets it disagrees with the kernel's files; `None` where there was nothing to
    /// compare with.
    pub mismatch: Option<u64>,
    /// Namespaces that could not be looked into.
    pub errors: u64,
    /// Network namespaces of the kernel; `None` where only some were asked.
    pub namespaces: Option<u64>,
}

/// Sockets of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerSockets {
    /// By state.
    pub states: StateCounts,
    /// Accept queues.
    pub queues: Queues,
}

/// Sockets by container.
#[derive(Debug, Default)]
pub struct TcpStateSample<'a> {
    /// Those of every container that has any.
    pub containers: Vec<(&'a Arc<Container>, ContainerSockets)>,
    /// Those of the host's namespace that are no container's.
    pub host: ContainerSockets,
    /// Inode numbers of the namespaces that were looked at: of others nothing is known.
    pub counted: HashSet<u64>,
}

/// What a look is made at.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The loaded programs, where there are.
    pub passes: Option<&'a mut Passes>,
    /// The kernel's namespaces, where they were walked already.
    pub pass: Option<NamespacePass>,
    /// The namespaces that somebody wants to know of.
    pub targets: &'a [NamedTarget<'a>],
}

/// Looks at the sockets.
#[derive(Debug)]
pub struct TcpStateSampler {
    mode: TcpStatesMode,
    source: TcpStatesSource,
    pace: Pace,
    judge: Judge,
    last: Option<Look>,
    strikes: u32,
    /// Looks since start.
    pub looks: u64,
}

impl TcpStateSampler {
    /// A sampler that has not looked yet. `has_passes` says whether the programs are loaded.
    pub fn new(
        mode: TcpStatesMode,
        has_passes: bool,
        pace: Pace,
        schema: &Schema,
        files: &[CounterFile],
    ) -> Self {
        let source = match mode {
            TcpStatesMode::Off => TcpStatesSource::Off,
            TcpStatesMode::SockDiag => TcpStatesSource::SockDiag,
            _ if has_passes => TcpStatesSource::Kernel,
            _ => TcpStatesSource::SockDiag,
        };
        Self {
            mode,
            source,
            pace,
            judge: Judge::new(schema, files),
            last: None,
            strikes: 0,
            looks: 0,
        }
    }

    /// Where the sockets are looked for.
    pub fn source(&self) -> TcpStatesSource {
        self.source
    }

    /// The last look.
    pub fn last(&self) -> Option<&Look> {
        self.last.as_ref()
    }

    /// Whether it is time for another look.
    pub fn is_due(&self, now: Instant) -> bool {
        let last = self.last.as_ref().map(|look| (look.taken, look.duration));
        self.source != TcpStatesSource::Off && self.pace.is_due(last, now)
    }

    /// Looks at the sockets.
    ///
    /// # Errors
    /// The kernel refuses; then there is no look.
    pub fn look(&mut self, around: Surroundings<'_>) -> io::Result<()> {
        self.last = None;
        self.looks += 1;
        let result = match self.source {
            TcpStatesSource::Kernel => kernel_look(around),
            TcpStatesSource::SockDiag => sock_diag_look(around.targets),
            TcpStatesSource::Off => return Ok(()),
        };
        match result {
            Ok(look) => {
                self.last = Some(look);
                Ok(())
            }
            Err(error) => {
                self.strike(&error.to_string());
                Err(error)
            }
        }
    }

    /// Compares the look that was just made with what the files of its targets said before the
    /// look's end, and where that does not fit, with what they say now.
    pub fn compare(&mut self, targets: &[NamedTarget<'_>], before: &[Option<Facts>]) {
        let Some(look) = &mut self.last else {
            return;
        };
        let verdict = self.judge.compare(look, targets, before);
        look.mismatch = verdict.mismatch;
        match verdict.proof {
            Some(proof) if self.source == TcpStatesSource::Kernel => self.strike(&proof),
            _ => self.strikes = 0,
        }
    }

    /// Counts a failure; after several in a row sock_diag takes over, unless that was ruled out.
    fn strike(&mut self, reason: &str) {
        self.strikes += 1;
        if self.strikes < STRIKES || self.source != TcpStatesSource::Kernel {
            return;
        }
        if self.mode == TcpStatesMode::Auto {
            warn!(
                "the kernel's socket tables are not read any more: {reason}; sock_diag takes over"
            );
            self.source = TcpStatesSource::SockDiag;
            self.last = None;
            self.strikes = 0;
        } else if self.strikes == STRIKES {
            warn!("the kernel's socket tables are read wrongly: {reason}");
        }
    }

    /// Gives the sockets of the last look to their containers: to the one whose cgroup it is,
    /// else to the owner of the namespace, so that the sum over a namespace is whole.
    pub fn sample<'a>(
        &self,
        placement: &'a Placement,
        host: HostNamespace,
        cgroups: &mut Cgroups,
        now: Instant,
    ) -> Option<TcpStateSample<'a>> {
        let look = self.last.as_ref()?;
        let ids = look.table.entries.iter().map(|entry| entry.key.cgroup);
        cgroups.look_up(ids, now);
        let places = Places::new(placement, host, look.has_cookie);
        Some(TcpStateSample {
            counted: look.counted.clone(),
            ..attribute(&look.table, &places, cgroups)
        })
    }
}

/// Gives every socket to somebody. Those of a namespace without a container are nobody's.
fn attribute<'a>(
    table: &SocketTable,
    places: &Places<'a>,
    cgroups: &Cgroups,
) -> TcpStateSample<'a> {
    let mut tally: Tally<'a, ContainerSockets> = Tally::new();
    let subject =
        |key: Key, inode: u64| -> Option<Subject<'a>> { places.subject(key, inode, cgroups) };
    for entry in &table.entries {
        if let Some(subject) = subject(entry.key, entry.inode) {
            tally.of(subject).states += &entry.counts;
        }
    }
    for listener in &table.listeners {
        if let Some(subject) = subject(listener.key, listener.inode) {
            listeners::add(&mut tally.of(subject).queues, listener);
        }
    }
    TcpStateSample {
        containers: tally.containers.into_values().collect(),
        host: tally.host,
        counted: HashSet::new(),
    }
}

fn kernel_look(around: Surroundings<'_>) -> io::Result<Look> {
    let passes = around
        .passes
        .ok_or_else(|| io::Error::other("the eBPF programs are not loaded"))?;
    let taken = Instant::now();
    let namespaces = match around.pass {
        Some(pass) => pass,
        None => passes.namespaces()?,
    };
    let mut pass = passes.sockets(&namespaces.namespaces)?;
    listeners::limit_ports(&mut pass.table.listeners);
    Ok(Look {
        sockets: total(&pass.table),
        folded: pass.trouble.folded,
        table: pass.table,
        has_cookie: passes.has_cookie(),
        // What was there is in the tables, however it is listed.
        counted: around.targets.iter().map(|one| one.target.inode).collect(),
        taken,
        duration: pass.duration,
        longest_slice: pass.longest_slice,
        mismatch: None,
        errors: 0,
        namespaces: Some(namespaces.namespaces.len() as u64),
    })
}

fn sock_diag_look(targets: &[NamedTarget<'_>]) -> io::Result<Look> {
    let taken = Instant::now();
    let asked: Vec<sock_diag::Target<'_>> = targets
        .iter()
        .map(|target| sock_diag::Target {
            netns: target.cookie.unwrap_or(target.target.inode),
            inode: target.target.inode,
            process: target.target.process,
        })
        .collect();
    let mut dump = sock_diag::dump(&asked);
    listeners::limit_ports(&mut dump.table.listeners);
    let duration = taken.elapsed();
    let outcomes = asked.iter().zip(&dump.outcomes);
    let counted: HashSet<u64> = outcomes
        .filter(|(_, outcome)| matches!(outcome, Outcome::Counted))
        .map(|(target, _)| target.inode)
        .collect();
    let look = |table, errors| look_of(table, counted, taken, duration, errors);
    let mut errors = dump.outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Failed(error) => Some(error),
        Outcome::Counted | Outcome::Gone => None,
    });
    if let Some(error) = errors.next() {
        let others = errors.count();
        if others + 1 == targets.len() {
            return Err(io::Error::other(error.to_string()));
        }
        debug!(%error, others, "sockets of a network namespace cannot be counted");
        return Ok(look(dump.table, others as u64 + 1));
    }
    Ok(look(dump.table, 0))
}

fn look_of(
    table: SocketTable,
    counted: HashSet<u64>,
    taken: Instant,
    duration: Duration,
    errors: u64,
) -> Look {
    Look {
        sockets: total(&table),
        folded: 0,
        table,
        // A namespace whose cookie is not known stands under its inode number.
        has_cookie: true,
        counted,
        taken,
        duration,
        longest_slice: Duration::ZERO,
        mismatch: None,
        errors,
        namespaces: None,
    }
}

fn total(table: &SocketTable) -> u64 {
    table.entries.iter().map(|entry| entry.counts.total()).sum()
}

#[cfg(test)]
mod tests;
