//! `cargo xtask test`: every suite of the workspace, the check of the eBPF object, and other
//! kernels (`cargo xtask kernels`), with everything that they need installed first.
//!
//! Without the rights to install, what is missing is said, and the tests that need it skip
//! themselves. With `CI=true` in the environment nothing may be missing or skipped, and the
//! toolchain of the eBPF object is installed too; elsewhere that one is taken if it is there.

use anyhow::{Context, Result, bail, ensure};
use testkit::child::find_program;
use testkit::require;

use crate::{build_ebpf, cargo, image, kernels, shell, system};

/// Programs that tests start, each with its Debian package and what it is for.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("dockerd", "docker.io", DOCKER),
    ("docker", DOCKER_CLIENT, DOCKER),
    ("containerd", "containerd", DOCKER),
    ("containerd-shim-runc-v2", "containerd", DOCKER),
    ("runc", "runc", DOCKER),
    ("ctr", "containerd", PODS),
    ("host-local", "containernetworking-plugins", PODS),
    ("modprobe", "kmod", "bridges of containers"),
    ("ip", "iproute2", "bridges of containers"),
    ("ss", "iproute2", "the judge of socket counts"),
    ("prometheus", "prometheus", PROMETHEUS),
    ("promtool", "prometheus", PROMETHEUS),
    ("setpriv", "util-linux", NAMESPACES),
    ("unshare", "util-linux", NAMESPACES),
    ("nsenter", "util-linux", NAMESPACES),
    ("tar", "tar", "images of containers"),
    ("mount", "mount", FILE_SYSTEMS),
    ("umount", "mount", FILE_SYSTEMS),
    ("losetup", "mount", FILE_SYSTEMS),
    ("mkfs.ext4", "e2fsprogs", FILE_SYSTEMS),
    ("df", "coreutils", DU),
    ("du", "coreutils", DU),
    ("openssl", "openssl", "a client of TLS that is not ours"),
    // Where there is a python3 without venv, the tests that want it say so.
    ("python3", "python3-venv", "readers of what is pushed"),
];
const DOCKER: &str = "containers of a real Docker";
const PODS: &str = "pods of a real containerd";
const PROMETHEUS: &str = "a real server that scrapes, and promtool";
const FILE_SYSTEMS: &str = "file systems of containers";
const DU: &str = "the judges of space in use";
const NAMESPACES: &str = "namespaces and fewer rights";

/// Where the command line of Docker is: from Debian 13 on. Before, docker.io has it.
const DOCKER_CLIENT: &str = "docker-cli";

/// Options of `test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to the tests: filters and options such as --nocapture; the eBPF object is then
    /// not checked, and no other kernel booted
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
    let whole = args.filters.is_empty();
    let toolchain = match (whole, ci) {
        (false, _) => false,
        (true, false) => build_ebpf::is_there(),
        (true, true) => build_ebpf::prepare().context("CI=true: the eBPF object is compared")?,
    };
    let mut tests = cargo::cargo();
    tests.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    if ci {
        tests.env(require::STRICT, "all");
    }
    if !whole {
        return shell::run(tests.arg("--").args(&args.filters));
    }
    let tested = shell::run(&mut tests);
    let checked = if toolchain {
        build_ebpf::check()
    } else {
        let word = if ci { "WARNING" } else { "not checked" };
        eprintln!(
            "{word}: eBPF object not compared byte by byte with what its sources give (no \
             toolchain: see `cargo xtask build-ebpf`)"
        );
        Ok(())
    };
    let failed: Vec<String> = [tested, checked, build_image(ci), boot_kernels(ci)]
        .into_iter()
        .filter_map(|result| Some(format!("{:#}", result.err()?)))
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

/// Builds the image and runs it, where that can be done.
fn build_image(ci: bool) -> Result<()> {
    let mut needs = testkit::dockerd::PROGRAMS
        .iter()
        .map(|name| require::program(name));
    let unmet = require::root()
        .err()
        .or_else(|| needs.find_map(Result::err));
    match unmet {
        None => image::test().context("cargo xtask image"),
        Some(unmet) if ci => bail!("CI=true: the image needs {}", unmet.0),
        Some(unmet) => {
            eprintln!("the image is not built: needs {}", unmet.0);
            Ok(())
        }
    }
}

/// Boots other kernels, where that can be done.
fn boot_kernels(ci: bool) -> Result<()> {
    match kernels::can_run() {
        Ok(()) => kernels::test(ci).context("cargo xtask kernels"),
        Err(error) if ci => Err(error).context("CI=true: nothing may be skipped"),
        Err(error) => {
            eprintln!("other kernels are not booted: {error:#}");
            Ok(())
        }
    }
}

/// Sees to it that every program is there.
fn prepare() -> Result<()> {
    let missing = || {
        PROGRAMS
            .iter()
            .filter(|(name, ..)| find_program(name).is_none())
    };
    if missing().next().is_some() && system::can_install() {
        system::update()?;
        let mut packages: Vec<&str> = missing().map(|(_, package, _)| *package).collect();
        for package in &mut packages {
            if *package == DOCKER_CLIENT && !system::is_offered(DOCKER_CLIENT) {
                *package = "docker.io";
            }
        }
        let mut purposes: Vec<&str> = missing().map(|(.., purpose)| *purpose).collect();
        for words in [&mut packages, &mut purposes] {
            words.sort_unstable();
            words.dedup();
        }
        system::install(&packages, &format!("for tests: {}", purposes.join("; ")))?;
    }
    let unmet: Vec<String> = missing()
        .map(|(name, package, _)| format!("the program {name} (Debian: {package})"))
        .chain(require::root().err().map(|unmet| unmet.0))
        .collect();
    ensure!(unmet.is_empty(), "missing: {}", unmet.join(", "));
    Ok(())
}
