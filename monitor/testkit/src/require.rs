//! The preamble of tests that need more than a user's rights: root, a program, the kernel's BTF.
//!
//! A test starts with `testkit::require!(require::root(), require::program("dockerd"));`. Where a
//! need is not met the test prints `skipped: needs …` and returns. With
//! `CONTAINER_MONITOR_TEST_REQUIRE=all` in the environment, as in CI, it fails instead, so that a
//! green run never means that nothing was compared.

use std::io::Write as _;
use std::path::Path;

/// The environment variable that turns skips into failures, when set to `all`.
pub const STRICT: &str = "CONTAINER_MONITOR_TEST_REQUIRE";

/// What a test needs and does not have, in words that follow "needs".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet(pub String);

/// What a need gives: nothing, or what is missing.
pub type Need = Result<(), Unmet>;

fn need(met: bool, what: impl Into<String>) -> Need {
    if met { Ok(()) } else { Err(Unmet(what.into())) }
}

/// Effective user id 0, with CAP_SYS_ADMIN and CAP_NET_ADMIN.
pub fn root() -> Need {
    need(rustix::process::geteuid().is_root(), "root")?;
    let capable = effective_capabilities().is_some_and(is_admin);
    need(capable, "CAP_SYS_ADMIN and CAP_NET_ADMIN")
}

/// Whether CAP_SYS_ADMIN and CAP_NET_ADMIN are both in a set of capabilities.
fn is_admin(capabilities: u64) -> bool {
    let both = 1 << 21 | 1 << 12;
    capabilities & both == both
}

/// An installed program.
pub fn program(name: &str) -> Need {
    need(
        crate::child::find_program(name).is_some(),
        format!("the program {name}"),
    )
}

/// Python that can make virtual environments, for [`python`](crate::python).
pub fn python_venv() -> Need {
    let mut python = std::process::Command::new("python3");
    let output = python.args(["-c", "import ensurepip, venv"]).output();
    let works = output.is_ok_and(|output| output.status.success());
    need(works, "python3 with venv (Debian: python3-venv)")
}

/// The kernel's own type information.
pub fn btf() -> Need {
    let file = "/sys/kernel/btf/vmlinux";
    need(std::fs::File::open(file).is_ok(), file)
}

/// The right to load eBPF programs: root's, with CAP_SYS_ADMIN or CAP_BPF.
pub fn bpf() -> Need {
    let caps = effective_capabilities().unwrap_or(0);
    need(caps & (1 << 21 | 1 << 39) != 0, "CAP_BPF")
}

/// FUSE, for a [`Fuse`](crate::fuse::Fuse).
pub fn fuse() -> Need {
    let file = "/dev/fuse";
    need(std::fs::File::open(file).is_ok(), file)
}

/// TUN devices, for a [`Peer`](crate::peer::Peer).
pub fn tun() -> Need {
    let file = "/dev/net/tun";
    // The file may be there while the kernel has no driver for it.
    let device = std::fs::File::options().read(true).write(true).open(file);
    need(device.is_ok(), file)
}

/// A file or folder.
pub fn path(path: impl AsRef<Path>) -> Need {
    let path = path.as_ref();
    need(path.exists(), path.display().to_string())
}

/// The unified hierarchy of cgroups, writable.
pub fn cgroup2() -> Need {
    need(crate::cgroup::root().is_some(), "cgroup2")
}

/// A kernel at least this new.
pub fn kernel(major: u32, minor: u32) -> Need {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|n| n.parse::<u32>().ok());
    let running = (next().unwrap_or(0), next().unwrap_or(0));
    need(
        running >= (major, minor),
        format!("Linux {major}.{minor} (this is {release})"),
    )
}

/// `CapEff` of this process.
fn effective_capabilities() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let hex = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    u64::from_str_radix(hex.trim(), 16).ok()
}

/// Whether all needs are met; says on standard error which are not. For [`require!`](crate::require!).
///
/// # Panics
/// When one is not and [`STRICT`] is `all`.
pub fn met(needs: &[Need]) -> bool {
    let strict = std::env::var_os(STRICT).is_some_and(|v| v == "all");
    let Some(missing) = missing(needs, strict) else {
        return true;
    };
    // Not by eprintln!, whose text the test harness keeps to itself when a test passes.
    writeln!(std::io::stderr(), "skipped: needs {missing}").ok();
    false
}

#[expect(clippy::panic, reason = "it fails the test, which is what it is for")]
fn missing(needs: &[Need], strict: bool) -> Option<String> {
    let missing: Vec<&str> = needs
        .iter()
        .filter_map(|need| need.as_ref().err().map(|unmet| unmet.0.as_str()))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let missing = missing.join(", ");
    if strict {
        panic!("needs {missing}, and {STRICT}=all forbids skipping");
    }
    Some(missing)
}

/// What a skipped test returns.
pub trait Skipped {
    /// The value of a test that was skipped.
    fn skipped() -> Self;
}

impl Skipped for () {
    fn skipped() -> Self {}
}

impl<E> Skipped for Result<(), E> {
    fn skipped() -> Self {
        Ok(())
    }
}

/// Returns from the test unless every need (a [`require::Need`](crate::require::Need)) is met.
#[macro_export]
macro_rules! require {
    ($($need:expr),+ $(,)?) => {
        if !$crate::require::met(&[$($need),+]) {
            return $crate::require::Skipped::skipped();
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_missing() {
        assert_eq!(
            program("no-such-program"),
            Err(Unmet("the program no-such-program".into()))
        );
        assert_eq!(program("sh"), Ok(()));
        assert_eq!(kernel(3, 0), Ok(()));
        assert!(kernel(4000, 0).is_err());
        assert!(path("/proc/self").is_ok() && path("/proc/none").is_err());
    }

    #[test]
    fn root_without_a_capability_is_none() {
        assert!(is_admin(1 << 21 | 1 << 12 | 1) && is_admin(u64::MAX));
        assert!(!is_admin(1 << 21) && !is_admin(1 << 12) && !is_admin(0));
    }

    #[test]
    fn skips_or_fails() {
        assert_eq!(missing(&[Ok(())], true), None);
        let unmet = [Ok(()), Err(Unmet("wings".into()))];
        assert_eq!(missing(&unmet, false).as_deref(), Some("wings"));
        assert!(std::panic::catch_unwind(|| missing(&unmet, true)).is_err());
    }
}
