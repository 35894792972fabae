//! The program `container-monitor`. Exit codes: 0 after SIGTERM or SIGINT, 2 for a wrong command
//! line, 1 for everything else.

use std::process::ExitCode;

use clap::Parser as _;
use container_monitor::cli::{Cli, CliCommand, ServeArgs};
use container_monitor::config::Config;
use container_monitor::{daemon, logging};

/// Threads for collections and what libraries do beside them.
const MAX_BLOCKING_THREADS: usize = 4;

fn main() -> ExitCode {
    let Cli {
        command: CliCommand::Serve(args),
    } = Cli::parse();
    serve(*args)
}

fn serve(args: ServeArgs) -> ExitCode {
    let config = match Config::new(args, std::env::var("DOCKER_HOST").ok()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    logging::init(config.log_level, config.log_format);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(daemon::run(config));
            // A collection that hangs must not keep the process.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
