//! Debian packages: which are missing, and installing them.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use testkit::child::find_program;

use crate::{shell, signals};

/// What Debian's packages ask before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Its answer to everything: no.
const NO_SERVICES: &str = "#!/bin/sh\nexit 101\n";

/// Whether Debian packages can be installed: by root, on a machine that has them.
pub(crate) fn can_install() -> bool {
    rustix::process::geteuid().is_root() && find_program("apt-get").is_some()
}

/// Whether this machine runs Debian itself, not one that descends from it: those have other
/// packages and suites.
pub(crate) fn is_debian() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| line == "ID=debian")
}

/// Installs Debian packages, saying first which and what for. Those that are there already are
/// left as they are. No service is started that a package brings along.
///
/// # Errors
/// When `apt-get` fails, its own messages went to standard error; or on Ctrl-C.
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
    update().with_context(why)?;
    let _no_services = NoServices::set(Path::new(POLICY)).with_context(why)?;
    shell::run(
        apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&missing),
    )
    .with_context(why)?;
    ensure!(!signals::asked(), "interrupted");
    Ok(())
}

/// Downloads the lists of packages that Debian offers, once in the life of this process.
///
/// # Errors
/// When `apt-get` fails.
pub(crate) fn update() -> Result<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.load(Ordering::Relaxed) {
        shell::run(apt_get().arg("update"))?;
        DONE.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// Whether Debian offers a package, by the lists that are there.
pub(crate) fn is_offered(package: &str) -> bool {
    shell::output(Command::new("apt-cache").args(["show", "--no-all-versions", package]))
        .is_ok_and(|text| text.contains("Package:"))
}

fn is_installed(package: &str) -> bool {
    let format = "--showformat=${db:Status-Status}";
    shell::output(Command::new("dpkg-query").args(["--show", format, package]))
        .is_ok_and(|status| status == "installed")
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .arg("-qq")
        // A fresh machine may be busy with its own updates.
        .args(["-o", "DPkg::Lock::Timeout=600"])
        .args(["-o", "Acquire::Retries=3"]);
    command
}

/// Keeps packages from starting their services: installing docker.io or prometheus would start a
/// daemon, open a port and, of Docker, change the firewall, which no test needs. Where the machine
/// has an answer of its own to that, it counts. Dropping this takes our answer away; meanwhile
/// Ctrl-C and SIGTERM only set a flag, so that it does not stay behind.
struct NoServices<'a> {
    /// The file that is ours.
    ours: Option<&'a Path>,
}

impl<'a> NoServices<'a> {
    fn set(policy: &'a Path) -> Result<Self> {
        let made = File::options()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(policy);
        let mut file = match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Ok(Self { ours: None });
            }
            made => made.with_context(|| format!("cannot make {}", policy.display()))?,
        };
        signals::hold();
        // From here on Drop removes the file.
        let guard = Self { ours: Some(policy) };
        file.write_all(NO_SERVICES.as_bytes())
            .with_context(|| format!("cannot write {}", policy.display()))?;
        Ok(guard)
    }
}

impl Drop for NoServices<'_> {
    fn drop(&mut self) {
        let Some(policy) = self.ours else {
            return;
        };
        if let Err(error) = std::fs::remove_file(policy) {
            eprintln!("warning: {} is left behind: {error}", policy.display());
        }
        signals::release();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn services_are_refused_only_meanwhile() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let policy = folder.path().join("policy-rc.d");
        let ours = NoServices::set(&policy)?;
        let mode = std::fs::metadata(&policy)?.permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "executable");
        // By its name it might be busy: another test may be forking while it was written.
        let answer = Command::new("sh").arg(&policy).status()?;
        assert_eq!(answer.code(), Some(101));
        let second = NoServices::set(&policy)?;
        drop(second);
        assert!(policy.exists(), "somebody else's answer stays");
        drop(ours);
        assert!(!policy.exists());
        Ok(())
    }
}
