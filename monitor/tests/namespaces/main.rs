//! The monitor without any runtime, on real network namespaces with real sockets: what it reads
//! is judged by the namespaces' own files and by `ss`, and by what was really done in them.
//!
//! Other namespaces may come and go on the machine meanwhile, other tests' among them, and an
//! inode number goes to another namespace at once. So a namespace that lives is found by its
//! inode number, and one that ended by its process's name, which no other test uses.

mod counters;
mod identity;
mod lifecycle;
mod processes;
mod values;

use std::time::Duration;

use anyhow::Result;
use testkit::monitor::Monitor;

/// How long something may take that is the kernel's or a child's to do.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Starts the monitor without eBPF, which these tests do not ask for anything.
pub(crate) fn monitor(more: &[&str]) -> Result<Monitor> {
    let args = [
        "serve",
        "--discovery",
        "cgroup",
        "--no-collector.transitions",
    ];
    Monitor::start(
        env!("CARGO_BIN_EXE_container-monitor"),
        &[&args, more].concat(),
    )
}
