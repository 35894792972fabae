//! `cargo xtask kernels`: boots the kernels that people run, each in an emulator of its own, and
//! proves in each what the README's table says of it.
//!
//! Each gets an archive with static builds of the daemon and of a test program (`monitor/guest`),
//! and is emulated in software, so that neither KVM nor root's rights are needed.

mod apt;
mod architecture;
mod archive;
mod build;
mod drives;
mod emulator;
mod packages;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use testkit::child::find_program;

use crate::{cargo, system, table};
use architecture::Architecture;
use drives::Drives;
use packages::{Kernel, SUITES};
use report::Column;

/// Options of `kernels`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A kernel image of your own instead of Debian's; repeatable
    #[arg(long, value_name = "FILE")]
    kernel: Vec<PathBuf>,
    /// The modules of your own kernel: a folder such as /lib/modules/6.1.0
    #[arg(long, value_name = "FOLDER", requires = "kernel")]
    modules: Option<PathBuf>,
    /// The architectures to emulate: amd64 and arm64, of your own kernel that of this machine
    #[arg(long, value_enum, value_name = "NAME")]
    architecture: Vec<Architecture>,
    /// Of Debian's kernels, only those of these suites
    #[arg(long, value_name = "SUITE", conflicts_with = "kernel", value_parser = SUITES)]
    suite: Vec<String>,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
    /// Write the table into the README
    #[arg(long, conflicts_with_all = ["kernel", "suite"])]
    write: bool,
    /// Show what the kernels print
    #[arg(long)]
    verbose: bool,
    /// Whether an architecture for which nothing can be built is an error.
    #[arg(skip)]
    strict: bool,
}

/// Boots all kernels, as a test. `strict` says whether none may be left out.
///
/// # Errors
/// As [`run`].
pub(crate) fn test(strict: bool) -> Result<()> {
    run(&Args {
        kernel: Vec::new(),
        modules: None,
        architecture: Vec::new(),
        suite: Vec::new(),
        json: false,
        write: false,
        verbose: false,
        strict,
    })
}

/// Whether the kernels can be booted here: the emulator and Debian's packages are there, or can be
/// installed.
pub(crate) fn can_run() -> Result<()> {
    let own = Architecture::ALL.into_iter().find(|arch| arch.is_own());
    prepare(own.context("this machine's architecture is none that is emulated")?)?;
    apt::mirror().map(drop)
}

/// Boots the kernels, prints the table, and compares it with the README's.
///
/// # Errors
/// When something is missing, when a check fails, or when a kernel has lost what the README says
/// that it can.
pub(crate) fn run(args: &Args) -> Result<()> {
    for file in &args.kernel {
        ensure!(file.is_file(), "there is no file {}", file.display());
    }
    let cache = cargo::workspace().join("target/kernels");
    // What was asked for is not left out.
    let strict = args.strict || args.write || !args.architecture.is_empty();
    let mut programs = BTreeMap::new();
    for architecture in architectures(args)? {
        match prepare(architecture).and_then(|()| build::programs(architecture, &cache)) {
            Ok(built) => {
                programs.insert(architecture, built);
            }
            Err(error) if strict || architecture.is_own() => return Err(error),
            Err(error) => {
                eprintln!("warning: {} is left out: {error:#}", architecture.debian());
            }
        }
    }
    let kernels = kernels(args, programs.keys().copied(), &cache)?;
    let drives = Drives::new(&cache)?;
    let columns = boot_all(&kernels, &drives, args.verbose, |number, kernel| {
        let path = cache.join(format!("archive-{number}.cpio"));
        let programs = programs.get(&kernel.architecture).context("no programs")?;
        archive::write(&path, programs, kernel.modules.as_deref())?;
        Ok(path)
    })?;
    if args.json {
        println!("{}", report::json(&columns)?);
    } else {
        print!("{}", table::markdown(&report::lines(&columns)));
    }
    let path = cargo::workspace().join("README.md");
    let mut readme = std::fs::read_to_string(&path).context("README.md")?;
    if args.write {
        readme = report::with_table(&readme, &columns)?;
        std::fs::write(&path, &readme).context("README.md")?;
    }
    let wrong = report::wrong(&columns, &readme, !args.kernel.is_empty());
    ensure!(
        wrong.is_empty(),
        "not as it should be:\n{}",
        wrong.join("\n")
    );
    Ok(())
}

fn architectures(args: &Args) -> Result<Vec<Architecture>> {
    if !args.architecture.is_empty() {
        return Ok(args.architecture.clone());
    }
    if args.kernel.is_empty() {
        return Ok(Architecture::ALL.to_vec());
    }
    let own = Architecture::ALL.into_iter().find(|arch| arch.is_own());
    Ok(vec![own.context(
        "--architecture NAME: which is your kernel for?",
    )?])
}

/// Sees to it that the emulator is there, what unpacks packages and modules, and what makes file
/// systems.
fn prepare(architecture: Architecture) -> Result<()> {
    let needed = [
        architecture.emulator(),
        ("dpkg", "dpkg"),
        ("xz", "xz-utils"),
        ("zstd", "zstd"),
        ("mkfs.ext4", "e2fsprogs"),
        ("mkfs.xfs", "xfsprogs"),
    ];
    let missing = || {
        needed
            .iter()
            .filter(|(name, _)| find_program(name).is_none())
    };
    let packages: Vec<&str> = missing().map(|(_, package)| *package).collect();
    if !packages.is_empty() && system::can_install() {
        system::install(&packages, "to boot other kernels")?;
    }
    let unmet: Vec<String> = missing()
        .map(|(name, package)| format!("the program {name} (Debian: {package})"))
        .collect();
    ensure!(unmet.is_empty(), "missing: {}", unmet.join(", "));
    Ok(())
}

fn kernels(
    args: &Args,
    architectures: impl Iterator<Item = Architecture>,
    cache: &Path,
) -> Result<Vec<Kernel>> {
    let mut kernels = Vec::new();
    for architecture in architectures {
        for image in &args.kernel {
            kernels.push(Kernel {
                image: image.clone(),
                modules: args.modules.clone(),
                architecture,
            });
        }
        let wanted = |suite: &&str| args.suite.is_empty() || args.suite.iter().any(|s| s == suite);
        let suites = if args.kernel.is_empty() {
            &SUITES[..]
        } else {
            &[]
        };
        for suite in suites.iter().copied().filter(wanted) {
            let kernel = packages::get(cache, suite, architecture);
            kernels.push(kernel.with_context(|| format!("the kernel of Debian's {suite}"))?);
        }
    }
    Ok(kernels)
}

/// Boots all kernels, some of them at once: each has two CPUs, and spends much of its time waiting.
fn boot_all(
    kernels: &[Kernel],
    drives: &Drives,
    verbose: bool,
    archive: impl Fn(usize, &Kernel) -> Result<PathBuf> + Sync,
) -> Result<Vec<Column>> {
    let next = AtomicUsize::new(0);
    let columns: Mutex<Vec<(usize, Result<Column>)>> = Mutex::default();
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(kernel) = kernels.get(number) else {
                return;
            };
            let column =
                archive(number, kernel).and_then(|path| boot(kernel, &path, drives, verbose));
            columns
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push((number, column));
        }
    };
    std::thread::scope(|scope| {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..(cpus / 2).max(2).min(kernels.len()) {
            scope.spawn(work);
        }
    });
    let mut columns = columns
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    columns.sort_by_key(|(number, _)| *number);
    columns.into_iter().map(|(_, column)| column).collect()
}

fn boot(kernel: &Kernel, archive: &Path, drives: &Drives, verbose: bool) -> Result<Column> {
    let name = kernel
        .image
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let say = |line: &str| {
        if verbose {
            eprintln!("{name}: {line}");
        }
    };
    let answers = emulator::boot(kernel, archive, drives, say)?;
    std::fs::remove_file(archive).ok();
    let column = Column::new(&answers, kernel);
    eprintln!(
        "{} ({}): {:.0} s",
        column.name,
        answers.release,
        answers.duration.as_secs_f64()
    );
    if !answers.complete {
        eprintln!("it did not come to the end; its console:");
        for line in &answers.console {
            eprintln!("{name}: {line}");
        }
    }
    Ok(column)
}
