//! Workloads with real sockets: what they are, and their command line.
//!
//! Each is bounded in count and rate and sleeps nearly always. It ends on SIGTERM, also as the
//! first process of a container, and within a second of its parent's end.

mod arguments;
mod client;
mod queue;
mod server;
mod udp;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};

pub use arguments::USAGE;
pub use client::{Pace, churn, connect, connect_to_self, exchange};
pub use queue::{WAITING, full_accept_queue};
pub(crate) use server::Echo;
pub use server::{Where, leak_close_wait, leave_leader, listen_in, serve};
pub use udp::datagrams;

/// The most connections or sockets that one workload holds.
pub const MOST: usize = 20_000;
/// The highest rate, in connections a second.
pub const FASTEST: u32 = 1_000;

/// A workload: one subcommand of the `workload` program.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Sleeps.
    Pause,
    /// Accepts and echoes, closing after its peer did.
    Serve {
        /// Where it listens.
        at: Where,
        /// The length of its accept queue.
        backlog: u32,
    },
    /// Makes a known number of connections, a byte there and back on each.
    Connect {
        /// Whom it connects to.
        to: SocketAddr,
        /// How many connections.
        count: usize,
        /// How many a second at most.
        rate: u32,
        /// Whether it keeps them open, and itself alive, instead of closing each at once.
        hold: bool,
    },
    /// Connects and closes for ever, and so leaves TIME_WAIT behind.
    Churn {
        /// Whom it connects to.
        to: SocketAddr,
        /// How many connections a second.
        rate: u32,
    },
    /// A server that keeps its end open after the peer has closed.
    LeakCloseWait {
        /// Where it listens.
        at: Where,
        /// How many connections it leaks, before it closes later ones as it should.
        count: usize,
    },
    /// A listener that never accepts, and clients that fill its queue and wait in SYN_SENT.
    FullAcceptQueue {
        /// Where it listens; a port alone means 127.0.0.1.
        at: Where,
        /// The length of its accept queue.
        backlog: u32,
    },
    /// A UDP receiver, and senders of one datagram a second each.
    Udp {
        /// The receiver's port.
        port: u16,
        /// How many senders.
        count: usize,
    },
    /// A server whose main thread has exited, with a second, sleeping process beside it.
    Leaderless {
        /// Where it listens.
        at: Where,
    },
    /// Opens and closes a listener in the network namespace of each of these processes.
    ListenIn {
        /// Their ids.
        pids: Vec<u32>,
    },
    /// One of [`crate::demo::KINDS`], server and clients in one process.
    Demo(crate::demo::Kind),
    /// No workload: the watchdog of a daemon of containers, see [`crate::sweep`].
    Sweep,
}

/// The whole program: parses the arguments after its name and does the work.
///
/// # Errors
/// On wrong arguments, with the usage; and when the work fails.
pub fn main(args: impl Iterator<Item = String>) -> Result<()> {
    let work = arguments::parse(args)?;
    if work == Work::Sweep {
        // It outlives whoever started it: that is its purpose.
        return work.run();
    }
    crate::sys::exit_on_signals();
    exit_with_parent();
    work.run()
}

impl Work {
    /// Does the work; most never end.
    ///
    /// # Errors
    /// When a socket can't be made, or a count or rate is beyond [`MOST`] or [`FASTEST`].
    pub fn run(&self) -> Result<()> {
        match *self {
            Self::Pause => pause(),
            Self::Serve { at, backlog } => serve(&at, backlog),
            Self::Connect {
                to,
                count,
                rate,
                hold,
            } => {
                let held = connect(to, count, rate, hold)?;
                println!("connected {count}");
                if hold {
                    pause();
                }
                drop(held);
                Ok(())
            }
            Self::Churn { to, rate } => churn(to, rate),
            Self::LeakCloseWait { at, count } => leak_close_wait(&at, count),
            Self::FullAcceptQueue { at, backlog } => full_accept_queue(&at, backlog),
            Self::Udp { port, count } => datagrams(port, count),
            Self::Leaderless { at } => leave_leader(at),
            Self::ListenIn { ref pids } => listen_in(pids),
            Self::Demo(kind) => crate::demo::run(kind),
            Self::Sweep => crate::sweep::when_input_ends(),
        }
    }
}

/// Refuses a count or rate that would be no gentle workload any more.
fn bounded(count: usize, rate: u32) -> Result<()> {
    ensure!(count <= MOST, "{count} are too many: {MOST} at most");
    ensure!(
        (1..=FASTEST).contains(&rate),
        "{rate} a second: 1 to {FASTEST} can be had"
    );
    Ok(())
}

/// Sleeps for ever.
fn pause() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Ends the process within a second of its parent's end. The first process of a container has no
/// parent in sight: the kernel ends it with its container.
fn exit_with_parent() {
    let Some(parent) = rustix::process::getppid() else {
        return;
    };
    std::thread::spawn(move || {
        while rustix::process::getppid() == Some(parent) {
            std::thread::sleep(Duration::from_secs(1));
        }
        std::process::exit(0);
    });
}
