//! The test program that runs inside other kernels, where there is nothing else but the daemon.
//!
//! As process 1 it sets the machine up and starts itself again as the suite; the suite starts the
//! daemon, and itself again for what has to happen in a container.

mod init;
mod suite;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// What stands in for `sleep`: see [`testkit::netns`].
const SLEEP: &str = "infinity";

fn main() -> ExitCode {
    let result = if std::process::id() == 1 {
        init::run()
    } else {
        run(&std::env::args().skip(1).collect::<Vec<_>>())
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [SLEEP] => loop {
            std::thread::park();
        },
        [init::SUITE] => suite::run(),
        [suite::CONNECT, count] => {
            testkit::workload::connect_to_self("127.0.0.1:80".parse()?, count.parse()?)
        }
        [suite::HOLD, count] => suite::hold(count.parse()?),
        [suite::TRANSFER, disk, mib] => suite::transfer(disk, mib.parse()?),
        [suite::PLAY, case, count] => suite::play(case, count.parse()?),
        _ => bail!("this is for the inside of a kernel: see `cargo xtask kernels`"),
    }
}
