//! `cargo xtask test`: every suite of the workspace, and the check of the eBPF object, with
//! everything that they need installed first.
//!
//! Without the rights to install, what is missing is said, and the tests that need it skip
//! themselves. With `CI=true` in the environment nothing may be missing or skipped.

use anyhow::{Context, Result, ensure};
use testkit::child::find_program;
use testkit::require;

use crate::build_ebpf::{self, available};
use crate::{cargo, shell, system};

/// Programs that tests start, each with its Debian package.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("dockerd", "docker.io", "containers of a real Docker"),
    (
        "prometheus",
        "prometheus",
        "a real server that scrapes, and promtool",
    ),
    ("ss", "iproute2", "the judge of socket counts"),
];

/// Options of `test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to the tests: filters and options such as --nocapture; the eBPF object is then
    /// not checked
    #[arg(last = true)]
    filters: Vec<String>,
}

/// Installs, tests, checks.
///
/// # Errors
/// When a test or the check fails; with `CI=true` also when something cannot be installed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    let prepared = prepare();
    if ci {
        prepared.context("CI=true: nothing may be skipped")?;
    } else if let Err(error) = prepared {
        eprintln!("{error:#}: the tests that need it are skipped");
    }
    let mut tests = cargo::cargo();
    tests.args(["test", "--locked", "--workspace"]);
    if ci {
        tests.env(require::STRICT, "all");
    }
    if !args.filters.is_empty() {
        return shell::run(tests.arg("--").args(&args.filters));
    }
    shell::run(&mut tests)?;
    if ci || available() {
        return build_ebpf::check();
    }
    eprintln!("not checked: whether the eBPF object is what its sources give (no toolchain)");
    Ok(())
}

/// Sees to it that every program is there.
fn prepare() -> Result<()> {
    let missing = || {
        PROGRAMS
            .iter()
            .filter(|(name, ..)| find_program(name).is_none())
    };
    if missing().next().is_some() && system::can_install() {
        let packages: Vec<&str> = missing().map(|(_, package, _)| *package).collect();
        let purposes: Vec<&str> = missing().map(|(.., purpose)| *purpose).collect();
        system::install(&packages, &format!("for tests: {}", purposes.join("; ")))?;
    }
    let unmet: Vec<String> = missing()
        .map(|(name, package, _)| format!("the program {name} (Debian: {package})"))
        .chain(require::root().err().map(|unmet| unmet.0))
        .collect();
    ensure!(unmet.is_empty(), "missing: {}", unmet.join(", "));
    Ok(())
}
