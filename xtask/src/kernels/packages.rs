//! The kernels that are booted: Debian's, of several suites.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::apt::Apt;
use super::architecture::Architecture;

/// Suites of Debian that together have every kernel of the table, the oldest first.
pub(super) const SUITES: [&str; 4] = ["bullseye", "bookworm", "trixie", "sid"];

/// Packages that a kernel is made of, by how their names begin.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];

/// A kernel.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    /// The image to boot.
    pub(super) image: PathBuf,
    /// The folder of its modules, `lib/modules/<release>`; `None` where there is none.
    pub(super) modules: Option<PathBuf>,
    /// What it is for.
    pub(super) architecture: Architecture,
}

/// Gets the newest kernel for clouds of a suite, which has fewer drivers than the usual one and is
/// the same otherwise. What was got before is used again, also where there is no network.
///
/// # Errors
/// Without Debian's apt, or when there is no such package.
pub(super) fn get(cache: &Path, suite: &str, architecture: Architecture) -> Result<Kernel> {
    let debian = architecture.debian();
    let apt = Apt::new(cache.join(format!("{suite}-{debian}")), debian, Some(suite))?;
    let name = format!("linux-image-cloud-{debian}");
    let root = match apt.update().and_then(|()| apt.find(&name, &PARTS)) {
        Ok(packages) => apt.unpack(&packages)?,
        Err(error) => {
            let root = apt.unpacked().with_context(|| {
                format!("{error:#} (a kernel of your own can be tried with --kernel FILE)")
            })?;
            eprintln!(
                "warning: {} may not be the newest: {error:#}",
                root.display()
            );
            root
        }
    };
    let modules = ["usr/lib/modules", "lib/modules"]
        .iter()
        .find_map(|path| only_entry(&root.join(path)));
    let beside_modules = modules.as_ref().map(|modules| modules.join("vmlinuz"));
    let image = in_boot(&root)
        .or(beside_modules)
        .filter(|image| image.exists());
    Ok(Kernel {
        image: image.with_context(|| format!("no kernel in {}", root.display()))?,
        modules,
        architecture,
    })
}

fn in_boot(root: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(root.join("boot")).ok()?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.find(|path| {
        let name = path.file_name().unwrap_or_default();
        name.as_encoded_bytes().starts_with(b"vmlinuz")
    })
}

/// The only entry of a folder.
fn only_entry(folder: &Path) -> Option<PathBuf> {
    Some(std::fs::read_dir(folder).ok()?.next()?.ok()?.path())
}
