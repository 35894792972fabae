//! The project's own commands, run as `cargo xtask <command>`: one module each.

mod build_ebpf;
mod cargo;
mod lint;
mod shell;
mod system;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own build, run, test, lint and bench commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Builds the eBPF object that is checked in under monitor/bpf
    BuildEbpf(build_ebpf::Args),
    /// Formatting, clippy and documentation, warnings as errors
    Lint,
    /// All test suites, installing what they need, and the check of the eBPF object
    Test(test::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Task::BuildEbpf(args) => build_ebpf::run(&args),
        Task::Lint => lint::run(),
        Task::Test(args) => test::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
