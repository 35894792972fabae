//! TCP sockets by state, asked over sock_diag in each network namespace: the numbers of the eBPF
//! pass where that cannot run. And UDP sockets, which no pass counts ([`udp`]).
//!
//! It costs more: for each namespace the kernel walks the whole host's table of TCP sockets, once a
//! family, together half a millisecond where that table has 262,144 buckets. And it is not one
//! look: sockets that come, go or change their state meanwhile may be seen twice or not at all, as
//! with `ss`.

mod ask;
#[cfg(test)]
mod captures;
mod collect;
pub mod message;
pub mod udp;

use std::io;
use std::time::Duration;

use super::SocketTable;
use crate::netns::visit;
use crate::procfs::Process;
use crate::procfs::process::is_gone;

pub use ask::DumpError;
use ask::Question;

/// How long the kernel may take for one namespace; it needs less than a microsecond a socket.
const LIMIT: Duration = Duration::from_secs(2);

/// A network namespace whose sockets are to be counted.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// [`Key::netns`](monitor_ebpf::Key::netns) of what is counted here: the namespace's cookie or
    /// its inode number. No two targets should have the same.
    pub netns: u64,
    /// The namespace's inode number; if the process turns out to be in another one, what was
    /// counted is thrown away.
    pub inode: u64,
    /// The process through which the namespace is entered.
    pub process: &'a Process,
}

/// How it went in one namespace.
#[derive(Debug)]
pub enum Outcome {
    /// Its sockets are in the table; if it has none, nothing of it is.
    Counted,
    /// The process has exited or is in another namespace by now: nothing is known, and nothing is
    /// wrong.
    Gone,
    /// Its sockets could not be counted; none of them are in the table.
    Failed(DumpError),
}

/// What [`dump`] found.
#[derive(Debug, Default)]
pub struct Dump {
    /// The sockets of all namespaces that could be counted, in the order of the targets.
    pub table: SocketTable,
    /// How it went in each, in the order of the targets.
    pub outcomes: Vec<Outcome>,
}

/// Counts the TCP sockets of each namespace, one after the other, on a thread made for it. Nothing
/// that is opened in a namespace is open after the visit. Needs `CAP_SYS_ADMIN`, to enter.
pub fn dump(namespaces: &[Target<'_>]) -> Dump {
    let mut dump = Dump::default();
    for (target, answer) in namespaces.iter().zip(ask_each::<ask::Tcp>(namespaces)) {
        let outcome = match answer {
            Ok(Some(sockets)) => {
                sockets.finish(target.netns, target.inode, &mut dump.table);
                Outcome::Counted
            }
            Ok(None) => Outcome::Gone,
            Err(error) => Outcome::Failed(error),
        };
        dump.outcomes.push(outcome);
    }
    dump
}

/// Asks in each namespace; `None` where the process was not there all the time.
fn ask_each<Q: Question<Answer: Send>>(
    namespaces: &[Target<'_>],
) -> impl Iterator<Item = Result<Option<Q::Answer>, DumpError>> {
    let processes: Vec<&Process> = namespaces.iter().map(|target| target.process).collect();
    let visits = visit::in_each(&processes, |process| {
        let before = process.netns_inode()?;
        let sockets = ask::all_sockets::<Q>(LIMIT);
        let after = process.netns_inode()?;
        Ok(Visit {
            inodes: [before, after],
            sockets,
        })
    });
    let visits = namespaces.iter().zip(visits);
    visits.map(|(target, visit)| judged(target.inode, visit))
}

/// What came back from a namespace.
struct Visit<T> {
    /// Where the process was before and after.
    inodes: [u64; 2],
    sockets: Result<T, DumpError>,
}

/// The sockets found in namespace `inode`; `None` if the process was not there all the time, when
/// errors mean no more than counts.
fn judged<T>(inode: u64, visit: io::Result<Visit<T>>) -> Result<Option<T>, DumpError> {
    match visit {
        Ok(visit) if visit.inodes == [inode; 2] => visit.sockets.map(Some),
        Ok(_) => Ok(None),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(DumpError::Enter(error)),
    }
}

#[cfg(test)]
mod tests;
