//! `cargo xtask build-ebpf`: builds the eBPF object, or checks that the one that is checked in is
//! what the sources give.
//!
//! There are two objects, and one of them is built twice: `transitions.o` with the feature `log`,
//! `transitions-nolog.o` without, for kernels that have no ring buffer. The same toolchain gives the same bytes
//! whatever the folder, the cargo home or the environment: paths are trimmed and debug sections
//! stripped, while the BTF that the loader needs stays. `sources.sha256` and `toolchain` tell
//! what the object was made of and with; see [`sources`] and [`toolchain`].

mod sources;
mod toolchain;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, shell};
use toolchain::{Choice, Toolchain};
pub(crate) use toolchain::{is_there, prepare};

/// Where the object is checked in, below the workspace.
const FOLDER: &str = "monitor/bpf";
/// The hash of what the object was made of.
const SOURCES: &str = "sources.sha256";
/// The toolchain that it was made with.
const TOOLCHAIN: &str = "toolchain";
/// The objects, with the arguments that tell them apart; a name begins with the program's.
const VARIANTS: [(&str, &[&str]); 3] = [
    ("transitions.o", &["--bin=transitions", "--features=log"]),
    ("transitions-nolog.o", &["--bin=transitions"]),
    ("passes.o", &["--bin=passes"]),
];

/// What cargo is called with for both; [`sources`] hashes it.
const ARGUMENTS: [&str; 8] = [
    "build",
    "--locked",
    "--package=monitor-ebpf",
    "--profile=bpf",
    "--target=bpfel-unknown-none",
    "-Zbuild-std=core",
    // No path of this machine in the object; cargo's key for it is as unstable as the flag.
    "-Ztrim-paths",
    "--config=profile.bpf.trim-paths='all'",
];
/// Linker: emit BTF.
const RUSTFLAGS: &str = "-Clink-arg=--btf";
/// What stands in the object for the folder of downloaded crates, whose name tells where they came
/// from.
const REGISTRY: &str = "registry";

/// Options of `build-ebpf`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when the checked-in object is not what the sources give
    #[arg(long)]
    check: bool,
    /// Take this toolchain; by default the one that made the checked-in object, else any
    #[arg(long, value_enum)]
    toolchain: Option<Choice>,
}

/// `build-ebpf --check`, for other commands.
///
/// # Errors
/// As [`run`].
pub(crate) fn check() -> Result<()> {
    run(&Args {
        check: true,
        toolchain: None,
    })
}

/// Builds, then writes or compares.
///
/// # Errors
/// When there is no toolchain, the build fails, or the check does.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = cargo::workspace();
    let folder = root.join(FOLDER);
    let hash = sources::hash(&root)?;
    if args.check {
        let recorded = read(&folder.join(SOURCES))?;
        if recorded.trim_end() != hash {
            bail!(
                "{FOLDER}/{SOURCES} is {} and the sources' hash is {hash}: run `cargo \
                 xtask build-ebpf` and commit what it writes",
                recorded.trim_end()
            );
        }
    }
    let recorded = read(&folder.join(TOOLCHAIN)).unwrap_or_default();
    let toolchain = toolchain::find(args.toolchain, &recorded)?;
    eprintln!("building with {}", toolchain.name);

    fetch(&toolchain, &root)?;
    let target = root.join("target/bpf");
    let built = VARIANTS
        .map(|(name, arguments)| build(&toolchain, &root, &target, name, arguments))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    if args.check {
        compare(&toolchain, &recorded, &folder, &built)
    } else {
        for path in &built {
            let name = path.file_name().unwrap_or_default();
            let to = folder.join(name);
            std::fs::copy(path, &to).with_context(|| format!("cannot write {}", to.display()))?;
            println!("wrote {}", to.display());
        }
        write(&folder.join(SOURCES), &format!("{hash}\n"))?;
        write(&folder.join(TOOLCHAIN), &toolchain.identity)
    }
}

/// Downloads the crates, so that [`rustflags`] knows their folders.
fn fetch(toolchain: &Toolchain, root: &Path) -> Result<()> {
    let mut command = Command::new(&toolchain.cargo);
    cargo::forget_settings(&mut command);
    command.current_dir(root).env("RUSTC", &toolchain.rustc);
    shell::run(command.args(["fetch", "--locked", "--quiet"]))
}

/// [`RUSTFLAGS`], with every folder of downloaded crates called [`REGISTRY`].
fn rustflags() -> Result<OsString> {
    let mut flags = OsString::from(RUSTFLAGS);
    let folder = cargo::home().join("registry/src");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        // cargo splits the flags at this character.
        flags.push("\x1f--remap-path-prefix=");
        flags.push(entry?.path());
        flags.push(format!("={REGISTRY}"));
    }
    Ok(flags)
}

/// Builds one variant and gives the path of the stripped object.
fn build(
    toolchain: &Toolchain,
    root: &Path,
    target: &Path,
    name: &str,
    arguments: &[&str],
) -> Result<PathBuf> {
    let mut command = Command::new(&toolchain.cargo);
    cargo::forget_settings(&mut command);
    command
        .current_dir(root)
        .env("RUSTC", &toolchain.rustc)
        // Lets a stable compiler take the unstable flags; a nightly one does in any case.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags()?)
        // The linker goes by PATH: as a flag, its path would be part of what is hashed into names.
        .env("PATH", path_with(&toolchain.bpf_linker)?)
        .args(ARGUMENTS)
        .arg("--target-dir")
        .arg(target)
        .args(arguments);
    shell::run(&mut command)?;
    let program = name.split(['-', '.']).next().unwrap_or_default();
    let linked = target.join("bpfel-unknown-none/bpf").join(program);
    let stripped = target.join(name);
    shell::run(
        Command::new(&toolchain.objcopy)
            .arg("--strip-debug")
            .args([&linked, &stripped]),
    )?;
    Ok(stripped)
}

/// `PATH` with the folder of `program` first.
fn path_with(program: &Path) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = program.parent().map(Path::to_path_buf).into_iter();
    std::env::join_paths(folders.chain(std::env::split_paths(&path)))
        .context("PATH with the folder of bpf-linker")
}

/// Compares what was built with what is checked in, where that means something.
fn compare(toolchain: &Toolchain, recorded: &str, folder: &Path, built: &[PathBuf]) -> Result<()> {
    println!("the sources are those that the checked-in object was built from");
    if toolchain.identity != recorded {
        // No failure: a machine that is set up today may get newer packages than those.
        eprintln!(
            "WARNING: eBPF object not compared byte by byte: it was made with another toolchain\n\
             made with:\n{recorded}here:\n{}",
            toolchain.identity
        );
        return Ok(());
    }
    for path in built {
        let name = path.file_name().unwrap_or_default();
        let checked_in = folder.join(name);
        if bytes(path)? != bytes(&checked_in)? {
            bail!(
                "{} is not what the sources give (that is {}): run `cargo xtask build-ebpf` and \
                 commit what it writes",
                checked_in.display(),
                path.display()
            );
        }
        println!("{} is what the sources give", checked_in.display());
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
