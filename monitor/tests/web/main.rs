//! The web side: formats, the web configuration, deadlines, and what clients can do to a server.

mod clients;
mod deadline;
mod formats;
mod pki;
mod prometheus;
mod reload;
mod secure;

use anyhow::Result;
use testkit::monitor::{self, Monitor};

/// The program.
pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_container-monitor");

/// Starts the monitor quickly: no runtime, no transitions, a free port.
pub(crate) fn monitor(more: &[&str]) -> Result<Monitor> {
    let quick = [
        "serve",
        "--discovery=cgroup",
        "--no-collector.transitions",
        "--web.listen-address=127.0.0.1:0",
    ];
    Monitor::spawn(monitor::command(EXE, &[&quick, more].concat()))
}
