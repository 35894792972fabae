//! The project's own commands, run as `cargo xtask <command>`: one module each.

mod bench;
mod build_ebpf;
mod cargo;
mod image;
mod kernels;
mod lint;
mod run;
mod shell;
mod signals;
mod system;
mod table;
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
    /// Builds the daemon and runs it, with demo workloads where there is no container
    Run(run::Args),
    /// Formatting, clippy and documentation, warnings as errors
    Lint,
    /// All test suites, installing what they need, and the check of the eBPF object
    Test(test::Args),
    /// Boots the kernels that people run and proves in each what the README says of it
    Kernels(kernels::Args),
    /// Builds a static binary and an image that holds it and nothing else
    Image(image::Args),
    /// Times a scrape of many network namespaces, beside other ways
    Bench(bench::Args),
    #[command(name = testkit::demo::SUBCOMMAND, hide = true)]
    DemoWorkload { kind: std::ffi::OsString },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Task::BuildEbpf(args) => build_ebpf::run(&args),
        Task::Run(args) => run::run(&args),
        Task::Lint => lint::run(),
        Task::Test(args) => test::run(&args),
        Task::Kernels(args) => kernels::run(&args),
        Task::Image(args) => image::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::DemoWorkload { kind } => run::demo_workload(&kind),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
