//! Static builds of the daemon and the test program, for this machine's architecture or another.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use testkit::child::{find_program, output_within};

use super::apt::Apt;
use super::architecture::Architecture;
use crate::cargo::{self, StaticBuild};
use crate::{shell, system};

/// What is built.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) monitor: PathBuf,
    pub(super) guest: PathBuf,
}

/// How long rustup may take to download a standard library; where it cannot reach its server, it
/// tries for long.
const RUSTUP: Duration = Duration::from_secs(120);

/// The C compiler for arm64.
const C_COMPILER: &str = "aarch64-linux-gnu-gcc";
/// Debian's packages that have it.
const CROSS_C: [&str; 2] = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];

/// Debian's packages that build for arm64: compiler, linker and C library.
const CROSS: [&str; 4] = [
    "rustc-web",
    "cargo-web",
    "gcc-aarch64-linux-gnu",
    "libc6-dev-arm64-cross",
];
/// Its standard library for arm64, of the version that `rustc-web` has.
const CROSS_LIBRARY: &str = "libstd-rust-web-dev";

/// Builds both programs.
///
/// # Errors
/// When there is no compiler for the architecture, or a build fails; cargo has said why.
pub(super) fn programs(architecture: Architecture, cache: &Path) -> Result<Programs> {
    let build = if architecture.is_own() {
        StaticBuild::new(format!("{}-unknown-linux-gnu", architecture.rust()))
    } else {
        match by_rustup(architecture) {
            Ok(build) => build,
            Err(first) => by_debian(architecture, cache)
                .with_context(|| format!("programs for {}: {first:#}", architecture.debian()))?,
        }
    };
    let [monitor, guest] = build.run(["container-monitor", "guest"])?;
    Ok(Programs { monitor, guest })
}

/// With rustup's standard library for musl, which brings its C library along, and rustc's own
/// linker.
fn by_rustup(architecture: Architecture) -> Result<StaticBuild> {
    let target = format!("{}-unknown-linux-musl", architecture.rust());
    let installed = shell::output(Command::new("rustup").args(["target", "list", "--installed"]))
        .context("there is no rustup")?;
    if !installed.lines().any(|line| line == target) {
        eprintln!(
            "installing rustup's target {target} (to build for {})",
            architecture.debian()
        );
        let mut add = Command::new("rustup");
        add.current_dir(cargo::workspace());
        output_within(with(add, &["target", "add", &target]), RUSTUP)?;
    }
    // Some dependencies have parts in C, which want no library but the one they are linked with.
    if find_program(C_COMPILER).is_none() {
        ensure!(
            architecture == Architecture::Arm64 && system::can_install(),
            "cannot install {}",
            CROSS_C.join(" ")
        );
        system::install(&CROSS_C, "to build for arm64")?;
    }
    let compiler = format!("CC_{}", target.replace('-', "_"));
    Ok(StaticBuild::new(target)
        .flag("-Clinker=rust-lld")
        .variable(compiler, C_COMPILER))
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

/// With Debian's compiler.
fn by_debian(architecture: Architecture, cache: &Path) -> Result<StaticBuild> {
    ensure!(
        architecture == Architecture::Arm64 && std::env::consts::ARCH == "x86_64",
        "Debian's compilers are used from amd64 for arm64 alone"
    );
    ensure!(
        system::can_install(),
        "not root on Debian: cannot install {}",
        CROSS.join(" ")
    );
    system::install(&CROSS, "to build for arm64")?;
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Version}", CROSS[0]]);
    let version = shell::output(&mut query)?;
    // The machine's own sources, for another architecture.
    let apt = Apt::new(cache.join("rust-arm64"), architecture.debian(), None)?;
    let library = (CROSS_LIBRARY.to_owned(), version);
    let root = match apt.unpacked_version(&library) {
        Some(root) => root,
        None => {
            apt.update()?;
            apt.unpack(&[library])?
        }
    };
    if !Path::new("/usr/bin/cargo").is_file() {
        bail!("cargo-web has no /usr/bin/cargo");
    }
    Ok(StaticBuild::new("aarch64-unknown-linux-gnu".to_owned())
        .toolchain("/usr/bin/cargo", "/usr/bin/rustc")
        .flag(&format!("--sysroot={}", root.join("usr").display()))
        .flag("-Clinker=aarch64-linux-gnu-gcc"))
}
