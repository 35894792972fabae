//! The program `container-monitor`. Exit codes: 0 after SIGTERM or SIGINT, 2 for a wrong command
//! line, 1 for everything else.

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use container_monitor::cli::{Cli, CliCommand, ServeArgs, one_line};
use container_monitor::config::Config;
use container_monitor::{daemon, doctor, logging};

/// Threads for collections and what libraries do beside them. Three may be lost for a while, one
/// in a file system that hangs below the web configuration, two in look-ups of a receiver's name.
const MAX_BLOCKING_THREADS: usize = 6;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(Cli {
            command: CliCommand::Serve(args),
        }) => serve(*args),
        Ok(Cli {
            command: CliCommand::Doctor(args),
        }) => doctor::run(&args).unwrap_or_else(|error| {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }),
        // The help or the version; without any argument, the help is the error.
        Err(error)
            if !error.use_stderr()
                || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            error.exit()
        }
        Err(error) => {
            eprintln!("{}", one_line(&error));
            ExitCode::from(2)
        }
    }
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
    if let Some(error) = &config.push.unusable {
        tracing::warn!("{error}; nothing is pushed over OTLP");
    }
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
