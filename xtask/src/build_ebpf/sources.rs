//! The hash of everything of this workspace that decides the bytes of the eBPF object. It needs
//! no toolchain, so that a plain `cargo test` notices sources that changed without the object.
//!
//! Hashed are, each under its name:
//! - `monitor-ebpf/Cargo.toml` and every Rust file below `monitor-ebpf/src`;
//! - of `Cargo.toml`: `[profile.release]` and `[profile.bpf]`, the edition, and the versions asked
//!   for of aya-ebpf and aya-log-ebpf;
//! - of `Cargo.lock`: version and checksum of every `aya-*` package;
//! - the arguments that cargo and the linker get.
//!
//! Left out are the packages that those packages are built with (syn, quote, …): they change
//! often, and the bytes of the object hardly ever; `build-ebpf --check` would see it. The
//! toolchain is recorded beside the hash, not in it.

use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

use super::{ARGUMENTS, REGISTRY, RUSTFLAGS, VARIANTS, read};

const CRATE: &str = "monitor-ebpf";

/// SHA-256 of the object's sources below the workspace `root`, in hex: of name and content of
/// each, both with their length in front, in the order of the names.
///
/// # Errors
/// When a file cannot be read, or lacks a part that is hashed.
pub(super) fn hash(root: &Path) -> Result<String> {
    let mut items = files(root)?;
    items.extend(manifest(&read(&root.join("Cargo.toml"))?)?);
    items.extend(locked(&read(&root.join("Cargo.lock"))?));
    items.push(("arguments".to_owned(), recipe()));
    items.sort();
    let mut hasher = Sha256::new();
    for text in items.iter().flat_map(|(name, content)| [name, content]) {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

type Item = (String, String);

/// The files of the crate.
fn files(root: &Path) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut folders = vec![format!("{CRATE}/src")];
    let mut names = vec![format!("{CRATE}/Cargo.toml")];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let entries =
            std::fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push(name);
            } else if name.ends_with(".rs") {
                names.push(name);
            }
        }
    }
    for name in names {
        let content = read(&root.join(&name))?;
        items.push((name, content));
    }
    Ok(items)
}

/// The parts of the workspace's manifest.
fn manifest(text: &str) -> Result<Vec<Item>> {
    let section = |name: &str| {
        section(text, name).with_context(|| format!("Cargo.toml has no section [{name}]"))
    };
    let mut items = Vec::new();
    for name in ["profile.release", "profile.bpf"] {
        items.push((format!("Cargo.toml [{name}]"), section(name)?.join("\n")));
    }
    for (name, keys) in [
        ("workspace.package", &["edition"][..]),
        ("workspace.dependencies", &["aya-ebpf", "aya-log-ebpf"]),
    ] {
        let lines = section(name)?;
        for key in keys {
            let value = lines.iter().find_map(|line| {
                let (found, value) = line.split_once('=')?;
                (found.trim() == *key).then(|| value.trim().to_owned())
            });
            let value = value.with_context(|| format!("Cargo.toml: [{name}] has no {key}"))?;
            items.push((format!("Cargo.toml [{name}] {key}"), value));
        }
    }
    Ok(items)
}

/// The lines of a section of a manifest, without comments and blank ones; `None` if there is no
/// such section.
fn section<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let header = format!("[{name}]");
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| *line == header)?;
    Some(
        lines
            .take_while(|line| !line.starts_with('['))
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect(),
    )
}

/// The locked versions and checksums that the object's own dependencies have.
fn locked(text: &str) -> Vec<Item> {
    text.split("[[package]]")
        .filter_map(|package| {
            let value = |key: &str| {
                package.lines().find_map(|line| {
                    line.strip_prefix(key)?
                        .trim()
                        .strip_prefix("= \"")?
                        .strip_suffix('"')
                })
            };
            let name = value("name")?;
            let locked = [value("version")?, value("checksum")?].join(" ");
            name.starts_with("aya-")
                .then(|| (format!("Cargo.lock {name}"), locked))
        })
        .collect()
}

/// How cargo is called.
fn recipe() -> String {
    let mut words = ARGUMENTS.to_vec();
    words.extend([RUSTFLAGS, REGISTRY]);
    for (name, arguments) in VARIANTS {
        words.push(name);
        words.extend(arguments);
    }
    words.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build_ebpf::{FOLDER, SOURCES};
    use crate::cargo;

    #[test]
    fn checked_in_object_is_of_these_sources() -> Result<()> {
        let root = cargo::workspace();
        let recorded = read(&root.join(FOLDER).join(SOURCES))?;
        assert_eq!(
            recorded.trim_end(),
            hash(&root)?,
            "the eBPF sources changed and the object did not: run `cargo xtask build-ebpf` and \
             commit {FOLDER}"
        );
        Ok(())
    }

    /// A workspace with what is hashed, and something that is not.
    fn copy() -> Result<tempfile::TempDir> {
        let root = cargo::workspace();
        let copy = tempfile::tempdir()?;
        for (name, content) in files(&root)? {
            let path = copy.path().join(name);
            std::fs::create_dir_all(path.parent().context("a file in no folder")?)?;
            std::fs::write(path, content)?;
        }
        for name in ["Cargo.toml", "Cargo.lock"] {
            std::fs::copy(root.join(name), copy.path().join(name))?;
        }
        Ok(copy)
    }

    fn replace(root: &Path, file: &str, from: &str, to: &str) -> Result<()> {
        let path = root.join(file);
        let old = read(&path)?;
        assert!(old.contains(from), "{file} has {from:?}");
        Ok(std::fs::write(&path, old.replacen(from, to, 1))?)
    }

    #[test]
    fn whatever_decides_the_object_changes_the_hash() -> Result<()> {
        let original = hash(&cargo::workspace())?;
        assert_eq!(hash(copy()?.path())?, original, "the folder is no part");
        for (file, from, to) in [
            ("monitor-ebpf/src/bin/shared/runtime.rs", "Dual", "dual"),
            ("monitor-ebpf/Cargo.toml", "log =", "logs ="),
            ("Cargo.toml", "\ndebug = 2", "\ndebug = 1"),
            ("Cargo.toml", "lto = \"thin\"", "lto = \"fat\""),
            ("Cargo.toml", "edition = \"", "edition = \"1"),
            ("Cargo.toml", "aya-log-ebpf = \"=", "aya-log-ebpf = \"=1"),
            (
                "Cargo.lock",
                "name = \"aya-ebpf\"\nversion = \"",
                "name = \"aya-ebpf\"\nversion = \"1",
            ),
        ] {
            let copy = copy()?;
            replace(copy.path(), file, from, to)?;
            assert_ne!(hash(copy.path())?, original, "{file}: {from}");
        }
        let copy = copy()?;
        std::fs::write(copy.path().join("monitor-ebpf/src/new.rs"), "")?;
        assert_ne!(hash(copy.path())?, original, "a new file");
        Ok(())
    }

    #[test]
    fn nothing_else_does() -> Result<()> {
        let copy = copy()?;
        replace(
            copy.path(),
            "Cargo.toml",
            "anyhow = ",
            "# a comment\nanyhow = ",
        )?;
        replace(
            copy.path(),
            "Cargo.lock",
            "name = \"anyhow\"\nversion = \"",
            "name = \"anyhow\"\nversion = \"9",
        )?;
        assert_eq!(hash(copy.path())?, hash(&cargo::workspace())?);
        Ok(())
    }

    #[test]
    fn moving_text_between_files_is_a_change() -> Result<()> {
        let copy = copy()?;
        let (first, second) = (
            copy.path().join("monitor-ebpf/src/a.rs"),
            copy.path().join("monitor-ebpf/src/b.rs"),
        );
        std::fs::write(&first, "xy")?;
        std::fs::write(&second, "z")?;
        let before = hash(copy.path())?;
        std::fs::write(&first, "x")?;
        std::fs::write(&second, "yz")?;
        assert_ne!(hash(copy.path())?, before);
        Ok(())
    }

    #[test]
    fn missing_parts_are_named() {
        let error = |text: &str| format!("{:#}", manifest(text).unwrap_err());
        assert!(error("").contains("[profile.release]"));
        let text = "[profile.release]\n[profile.bpf]\n[workspace.package]\nedition = \"2024\"\n\
                    [workspace.dependencies]\naya-ebpf = \"1\"\n";
        assert!(error(text).contains("aya-log-ebpf"));
    }
}
