//! Finding a toolchain that can build eBPF programs: rustup's, or Debian's packages, either with
//! `bpf-linker`. On a Debian machine, as root, what is missing is installed.
//!
//! What is needed: rustc with the sources of its own `core` (there is no built one for this
//! target), cargo, an objcopy that knows the target, and bpf-linker, which must be built with an
//! LLVM no older than rustc's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use testkit::child::find_program;

use crate::{cargo, shell, system};

/// Debian's packages, all of one LLVM version.
const PACKAGES: [&str; 5] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "llvm-22-dev",
    "llvm-22",
];
/// Where `llvm-22-dev` is.
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
/// How bpf-linker is built against it.
const INSTALL_LINKER: [&str; 7] = [
    "install",
    "bpf-linker",
    "--version=0.13.0",
    "--locked",
    "--no-default-features",
    "--features=llvm-22",
    "--quiet",
];
/// rustup's toolchains that are looked at, the first with `rust-src` taken.
const RUSTUP: [&str; 2] = ["nightly", "stable"];

/// Where the compiler comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// rustup's nightly or stable toolchain with the component rust-src
    Rustup,
    /// Debian's packages rustc-web, cargo-web, rust-web-src and llvm-22
    Debian,
}

/// A complete toolchain.
#[derive(Debug)]
pub(super) struct Toolchain {
    /// For people.
    pub(super) name: String,
    pub(super) rustc: PathBuf,
    pub(super) cargo: PathBuf,
    pub(super) objcopy: PathBuf,
    pub(super) bpf_linker: PathBuf,
    /// What decides the bytes: the versions of rustc, its host, its LLVM, and bpf-linker, a line
    /// each.
    pub(super) identity: String,
}

/// Finds a toolchain: of the chosen kind, else the one whose identity is `preferred`, else any.
///
/// # Errors
/// When there is none and none can be installed; the message says what to install.
pub(super) fn find(choice: Option<Choice>, preferred: &str) -> Result<Toolchain> {
    let (mut found, missing) = look(choice);
    if !found.is_empty() {
        let index = found.iter().position(|t| t.identity == preferred);
        return Ok(found.swap_remove(index.unwrap_or(0)));
    }
    if choice == Some(Choice::Rustup) || !installable() {
        bail!(advice(&missing));
    }
    install().with_context(|| advice(&missing))?;
    let (found, missing) = look(Some(Choice::Debian));
    found.into_iter().next().with_context(|| advice(&missing))
}

/// What is missing, and how to get it.
fn advice(missing: &[String]) -> String {
    let packages = PACKAGES.join(" ");
    let linker = INSTALL_LINKER.join(" ");
    format!(
        "no toolchain can build the eBPF object: {}\n\
         install one of:\n  \
         rustup:  rustup toolchain install nightly --component rust-src, and bpf-linker\n  \
         Debian:  apt-get install {packages}\n           \
         LLVM_PREFIX={LLVM_PREFIX} cargo {linker}\n",
        missing.join("; ")
    )
}

/// Whether a complete toolchain is there, with nothing to install.
pub(crate) fn is_there() -> bool {
    !look(None).0.is_empty()
}

/// Installs a toolchain where there is none. `false` where that cannot be: this is no Debian
/// machine, or one whose packages are others by now.
///
/// # Errors
/// When packages that are offered cannot be installed.
pub(crate) fn prepare() -> Result<bool> {
    if is_there() {
        return Ok(true);
    }
    if !installable() {
        return Ok(false);
    }
    system::update()?;
    if !PACKAGES.into_iter().all(system::is_offered) {
        return Ok(false);
    }
    find(None, "").map(|_| true)
}

/// Whether this is a machine whose packages are those, and its user root. Ubuntu, for one, has
/// others.
fn installable() -> bool {
    system::is_debian() && system::can_install()
}

/// The toolchains of the chosen kind, or of any, and what the others lack.
fn look(choice: Option<Choice>) -> (Vec<Toolchain>, Vec<String>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    let mut add = |toolchain: Result<Toolchain>| match toolchain {
        Ok(toolchain) => found.push(toolchain),
        Err(error) => missing.push(format!("{error:#}")),
    };
    if choice != Some(Choice::Debian) {
        RUSTUP.into_iter().map(rustup).for_each(&mut add);
    }
    if choice != Some(Choice::Rustup) {
        add(debian());
    }
    (found, missing)
}

fn rustup(channel: &str) -> Result<Toolchain> {
    let name = format!("rustup's {channel}");
    let sysroot = shell::output(
        Command::new("rustup")
            .args(["run", channel, "rustc", "--print", "sysroot"])
            // Asking must not download anything.
            .env("RUSTUP_AUTO_INSTALL", "0"),
    )
    .ok()
    .with_context(|| format!("{name}: not installed"))?;
    let bin = Path::new(&sysroot).join("bin");
    complete(name, bin.join("rustc"), bin.join("cargo"))
}

fn debian() -> Result<Toolchain> {
    // Not by PATH, where rustup's come first.
    complete(
        "Debian's rustc".to_owned(),
        "/usr/bin/rustc".into(),
        "/usr/bin/cargo".into(),
    )
}

/// Checks that everything beside the compiler is there too.
fn complete(name: String, rustc: PathBuf, cargo: PathBuf) -> Result<Toolchain> {
    let of = |what: &str| format!("{name}: no {what}");
    if !rustc.is_file() || !cargo.is_file() {
        bail!(of("rustc and cargo"));
    }
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(&rustc);
        cargo::forget_settings(&mut command);
        shell::output(command.args(arguments)).with_context(|| name.clone())
    };
    let version = ask(&["--version", "--verbose"])?;
    let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?);
    let sources = sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml");
    if !sources.is_file() {
        bail!(of("sources of core (rust-src)"));
    }
    let value = |key: &str| {
        let value = version.lines().find_map(|line| line.strip_prefix(key));
        value.map(str::trim).with_context(|| of(key))
    };
    let (host, llvm) = (value("host:")?, value("LLVM version:")?);
    let objcopy = objcopy(&sysroot, host, llvm).with_context(|| of("llvm-objcopy"))?;
    let bpf_linker = bpf_linker().with_context(|| of("bpf-linker"))?;
    let linker = shell::output(Command::new(&bpf_linker).arg("--version"))?;
    let release = version.lines().next().unwrap_or_default();
    Ok(Toolchain {
        identity: format!("{release}\nhost {host}\nLLVM {llvm}\n{linker}\n"),
        name: format!("{name}: {release}, LLVM {llvm}, {linker}"),
        rustc,
        cargo,
        objcopy,
        bpf_linker,
    })
}

/// rustup's toolchains have one of their own; else that of the LLVM that rustc has.
fn objcopy(sysroot: &Path, host: &str, llvm: &str) -> Option<PathBuf> {
    let own = sysroot.join(format!("lib/rustlib/{host}/bin/rust-objcopy"));
    if own.is_file() {
        return Some(own);
    }
    let major = llvm.split('.').next().unwrap_or_default();
    find_program(&format!("llvm-objcopy-{major}")).or_else(|| find_program("llvm-objcopy"))
}

fn bpf_linker() -> Option<PathBuf> {
    let installed = cargo::home().join("bin/bpf-linker");
    find_program("bpf-linker").or_else(|| installed.is_file().then_some(installed))
}

/// Installs Debian's toolchain, and bpf-linker where there is none.
fn install() -> Result<()> {
    system::install(&PACKAGES, "to build the eBPF object")?;
    if bpf_linker().is_none() {
        eprintln!(
            "installing bpf-linker into {} (links the eBPF object)",
            cargo::home().display()
        );
        let mut command = cargo::cargo();
        cargo::forget_settings(&mut command);
        shell::run(command.args(INSTALL_LINKER).env("LLVM_PREFIX", LLVM_PREFIX))?;
    }
    Ok(())
}
