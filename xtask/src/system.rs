//! Debian packages: which are missing, and installing them.

use std::process::Command;

use anyhow::{Context, Result};
use testkit::child::find_program;

use crate::shell;

/// Whether Debian packages can be installed: by root, on a machine that has them.
pub(crate) fn can_install() -> bool {
    rustix::process::geteuid().is_root() && find_program("apt-get").is_some()
}

/// Installs Debian packages, saying first which and what for. Those that are there already are
/// left as they are.
///
/// # Errors
/// When `apt-get` fails; its own messages went to standard error.
pub(crate) fn install(packages: &[&str], purpose: &str) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {} ({purpose})", missing.join(", "));
    let why = || format!("cannot install {}", missing.join(" "));
    shell::run(apt_get().args(["-qq", "update"])).with_context(why)?;
    shell::run(
        apt_get()
            .args(["-qq", "install", "--yes", "--no-install-recommends"])
            .args(&missing),
    )
    .with_context(why)
}

fn is_installed(package: &str) -> bool {
    let format = "--showformat=${db:Status-Status}";
    shell::output(Command::new("dpkg-query").args(["--show", format, package]))
        .is_ok_and(|status| status == "installed")
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
