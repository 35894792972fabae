//! Ends everything that a [`Dockerd`](crate::dockerd::Dockerd) or a containerd left in its folder:
//! processes, mounts, network namespaces, cgroups, the bridge, the folder itself. Safe to run
//! twice.

mod cgroups;
mod network;
mod processes;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::mount::UnmountFlags;

pub(crate) use network::BRIDGE;

/// The subcommand of `workload` that waits for its standard input to end, then sweeps.
pub const SUBCOMMAND: &str = "sweep";

/// Where the daemons have containerd's state, as seen from their folder.
pub(crate) const STATE: &str = "containerd/state";

/// The watchdog's work: reads the folder from standard input, waits for its end, and sweeps.
///
/// # Errors
/// When something can't be removed.
pub fn when_input_ends() -> Result<()> {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    sweep(Path::new(input.trim_end()))
}

/// Ends and removes everything of the daemon in `folder`.
///
/// # Errors
/// When something can't be removed; the rest is removed nevertheless.
pub fn sweep(folder: &Path) -> Result<()> {
    ensure!(
        folder.is_absolute() && folder.components().count() > 2,
        "{} is no folder of a test's daemon",
        folder.display()
    );
    let ended = processes::end(folder);
    // What the files of the folder tell has to be read before they are removed.
    let sockets = remove_shim_sockets(folder);
    let namespaces = network::remove_namespaces(folder);
    let unmounted = unmount(folder);
    let bridge = network::remove_bridge(folder);
    let cgroups = cgroups::remove(folder);
    let removed = match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    };
    ended
        .and(sockets)
        .and(namespaces)
        .and(unmounted)
        .and(bridge)
        .and(cgroups)
        .and(removed)
}

/// Removes the sockets of the shims, which containerd keeps outside of its folders.
fn remove_shim_sockets(folder: &Path) -> Result<()> {
    for bundle in bundles(folder)? {
        let address = std::fs::read_to_string(bundle.join("address")).unwrap_or_default();
        if let Some(socket) = address.strip_prefix("unix://") {
            // A shim that ended by itself has removed it.
            std::fs::remove_file(socket).ok();
        }
    }
    Ok(())
}

/// The folders of containerd's tasks, in every namespace of containerd.
fn bundles(folder: &Path) -> Result<Vec<PathBuf>> {
    let tasks = folder.join(STATE).join("io.containerd.runtime.v2.task");
    let mut bundles = Vec::new();
    for namespace in entries(&tasks)? {
        bundles.extend(entries(&namespace)?);
    }
    Ok(bundles)
}

/// Unmounts everything below `folder`, the last mounted first.
fn unmount(folder: &Path) -> Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let below: Vec<&str> = points
        .filter(|p| Path::new(p).starts_with(folder))
        .collect();
    for point in below.into_iter().rev() {
        rustix::mount::unmount(point, UnmountFlags::DETACH)
            .with_context(|| format!("can't unmount {point}"))?;
    }
    Ok(())
}

/// The paths in a folder; none where there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
