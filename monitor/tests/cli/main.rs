//! The command line and the daemon's manners: what is refused and how, what each flag and
//! variable changes, the pages, signals, and scrapes that come together.

mod doctor;
mod errors;
mod flags;
mod pages;
mod shutdown;

use std::process::{Command, Output};
use std::time::Duration;

use anyhow::Result;
use testkit::child::finish;
use testkit::monitor::{self, Monitor};

/// The program.
pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_container-monitor");

/// Flags of a quick start: no runtime, no eBPF, a free port.
pub(crate) const QUICK: [&str; 5] = [
    "serve",
    "--discovery=cgroup",
    "--no-collector.transitions",
    "--web.listen-address",
    "127.0.0.1:0",
];

/// How long the program may take to start, or to refuse to.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The program without the variables that the environment of the tests may have.
pub(crate) fn command(args: &[&str]) -> Command {
    monitor::command(EXE, args)
}

/// Runs the program, which is to end by itself.
pub(crate) fn run(args: &[&str]) -> Result<Output> {
    finish(command(args), SOON)
}

/// Starts the program quickly, with more flags.
pub(crate) fn monitor(more: &[&str]) -> Result<Monitor> {
    Monitor::spawn(command(&[&QUICK, more].concat()))
}

/// What a program said on standard error, line by line.
pub(crate) fn said(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().map(str::to_owned).collect()
}
