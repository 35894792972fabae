//! `cargo xtask lint`: formatting, clippy and the documentation, warnings as errors.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, shell};

/// Lines of a source file above which it is named, though not refused.
const LONG: usize = 400;

/// Runs every check, also after one has failed.
///
/// # Errors
/// When a check fails; it has said why.
pub(crate) fn run() -> Result<()> {
    let (mut fmt, mut clippy, mut doc) = (cargo::cargo(), cargo::cargo(), cargo::cargo());
    fmt.args(["fmt", "--all", "--check"]);
    clippy
        .args(["clippy", "--locked", "--workspace", "--all-targets"])
        .args(["--keep-going", "--", "-D", "warnings"]);
    doc.args([
        "doc",
        "--locked",
        "--workspace",
        "--no-deps",
        "--keep-going",
    ])
    .arg("--document-private-items")
    .env("RUSTDOCFLAGS", "-D warnings");
    let failed: Vec<&str> = [("fmt", fmt), ("clippy", clippy), ("doc", doc)]
        .into_iter()
        .filter_map(|(name, mut command)| {
            let error = shell::run(&mut command).err()?;
            eprintln!("{error:#}");
            Some(name)
        })
        .collect();
    name_long_files()?;
    if failed.is_empty() {
        println!("lint: nothing found");
        return Ok(());
    }
    bail!(
        "found something: {} (the components rustfmt and clippy come with `rustup component add \
         rustfmt clippy`)",
        failed.join(", ")
    )
}

/// Warns of sources that have grown beyond one subject.
fn name_long_files() -> Result<()> {
    let root = cargo::workspace();
    let mut git = Command::new("git");
    git.current_dir(&root).args(["ls-files", "--", "*.rs"]);
    // An unpacked archive is no repository; then nothing is warned of.
    for name in shell::output(&mut git).unwrap_or_default().lines() {
        let lines = count_lines(&root.join(name))?;
        if lines > LONG {
            eprintln!("warning: {name} has {lines} lines: split it by subject (aim: 300)");
        }
    }
    Ok(())
}

fn count_lines(path: &Path) -> Result<usize> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().count())
}
