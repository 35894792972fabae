//! The workload that test containers run: see [`testkit::workload`]. Built statically it is the
//! only file of their image.

use std::process::ExitCode;

fn main() -> ExitCode {
    match testkit::workload::main(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("workload: {error:#}");
            ExitCode::FAILURE
        }
    }
}
