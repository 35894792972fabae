//! The archive that a kernel unpacks as its root: the test program as process 1, the daemon, the
//! modules that the tests need.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cpio::newc::{Builder, ModeFileType, trailer};

use super::build::Programs;
use crate::shell;

/// Modules that the tests need, where they are none of the kernel's own parts: TUN devices,
/// sock_diag, drives, file systems and the format of ext4's quotas. They would be loaded by a
/// `modprobe` that is not there.
const MODULES: [&str; 10] = [
    "tun",
    "inet_diag",
    "tcp_diag",
    "mptcp",
    "virtio_pci",
    "virtio_blk",
    "overlay",
    "xfs",
    "ext4",
    "quota_v2",
];

/// Writes the archive.
///
/// # Errors
/// When a file cannot be read, or a module not be unpacked.
pub(super) fn write(path: &Path, programs: &Programs, modules: Option<&Path>) -> Result<()> {
    let mut archive = Vec::new();
    let read_program =
        |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
    let program = read_program(&programs.guest)?;
    add(&mut archive, "init", Kind::Program, &program)?;
    add(&mut archive, "bin", Kind::Folder, &[])?;
    // The first argument makes the program sleep.
    add(&mut archive, "bin/sleep", Kind::Link, b"/init")?;
    let daemon = read_program(&programs.monitor)?;
    add(&mut archive, guest::MONITOR, Kind::Program, &daemon)?;
    add(&mut archive, guest::MODULES, Kind::Folder, &[])?;
    for (number, (name, module)) in modules.map_or(Ok(Vec::new()), in_order)?.iter().enumerate() {
        let name = format!("{}/{number:02}-{name}.ko", guest::MODULES);
        add(&mut archive, &name, Kind::File, module)?;
    }
    trailer(&mut archive)?;
    std::fs::write(path, archive).with_context(|| format!("cannot write {}", path.display()))
}

#[derive(Clone, Copy)]
enum Kind {
    File,
    Program,
    Folder,
    Link,
}

fn add(archive: &mut Vec<u8>, name: &str, kind: Kind, data: &[u8]) -> Result<()> {
    let (mode, kind) = match kind {
        Kind::File => (0o644, ModeFileType::Regular),
        Kind::Program => (0o755, ModeFileType::Regular),
        Kind::Folder => (0o755, ModeFileType::Directory),
        Kind::Link => (0o777, ModeFileType::Symlink),
    };
    let entry = Builder::new(name).mode(mode).set_mode_file_type(kind);
    let mut writer = entry.write(archive, u32::try_from(data.len())?);
    writer.write_all(data)?;
    writer.finish()?;
    Ok(())
}

/// A module: its name and what is loaded.
type Module = (String, Vec<u8>);

/// The modules that the tests need, each behind those that it needs itself.
fn in_order(folder: &Path) -> Result<Vec<Module>> {
    let mut files = HashMap::new();
    find(folder, &mut files)?;
    let mut modules = Vec::new();
    for name in MODULES {
        require(name, &files, &mut modules)?;
    }
    Ok(modules)
}

/// Adds a module, where there is one of this name, behind what it needs.
fn require(name: &str, files: &HashMap<String, PathBuf>, modules: &mut Vec<Module>) -> Result<()> {
    let Some(path) = files.get(name) else {
        return Ok(());
    };
    if modules.iter().any(|(known, _)| known == name) {
        return Ok(());
    }
    let module = read(path)?;
    for needed in needs(&module) {
        require(&needed, files, modules)?;
    }
    modules.push((name.to_owned(), module));
    Ok(())
}

/// All modules below a folder, by their names as the kernel has them.
fn find(folder: &Path, files: &mut HashMap<String, PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find(&entry.path(), files)?;
        } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            files.insert(name.replace('-', "_"), entry.path());
        }
    }
    Ok(())
}

/// A module, unpacked.
fn read(path: &Path) -> Result<Vec<u8>> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let program = match &*extension {
        "ko" => return std::fs::read(path).with_context(|| format!("{}", path.display())),
        "xz" => "xz",
        "zst" => "zstd",
        "gz" => "gzip",
        other => bail!("{}: no program unpacks {other}", path.display()),
    };
    shell::bytes(
        Command::new(program)
            .args(["--decompress", "--stdout"])
            .arg(path),
    )
}

/// The modules that a module needs, as its section `.modinfo` has them.
fn needs(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let start = module.windows(key.len()).position(|window| window == key);
    let value = start.map_or(&[][..], |start| &module[start + key.len()..]);
    let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_comes_first() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let below = folder.path().join("net");
        std::fs::create_dir(&below)?;
        for (name, needs) in [
            ("tcp_diag", "inet-diag"),
            ("inet-diag", ""),
            ("other", "tcp_diag"),
        ] {
            let text = format!("ELF\0license=GPL\0depends={needs}\0name=x\0");
            std::fs::write(below.join(format!("{name}.ko")), text)?;
        }
        let modules = in_order(folder.path())?;
        let names: Vec<&str> = modules.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["inet_diag", "tcp_diag"]);
        Ok(())
    }
}
