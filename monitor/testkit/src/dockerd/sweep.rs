//! Ends everything that a [`Dockerd`](super::Dockerd) left in its folder: processes, mounts,
//! cgroups, the bridge, the folder itself. Safe to run twice.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::mount::UnmountFlags;
use rustix::process::Signal;

use crate::child::{find_program, has_ended, output};
use crate::{sys, wait};

/// The file that names the bridge.
pub(super) const BRIDGE: &str = "bridge";
/// The subcommand of `workload` that waits for its standard input to end, then sweeps.
pub const SUBCOMMAND: &str = "sweep-dockerd";

/// The programs whose processes are ended when their command line names the folder.
const OURS: [&str; 4] = ["dockerd", "containerd", "containerd-shim-runc-v2", "docker"];

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
        "{} is no folder of a test's dockerd",
        folder.display()
    );
    let ended = end_processes(folder);
    let sockets = remove_shim_sockets(folder);
    let unmounted = unmount(folder);
    let bridge = remove_bridge(folder);
    let cgroups = remove_cgroups(folder);
    let removed = match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    };
    ended
        .and(sockets)
        .and(unmounted)
        .and(bridge)
        .and(cgroups)
        .and(removed)
}

/// Kills the daemons and shims of `folder`, with everything below the shims: the containers.
fn end_processes(folder: &Path) -> Result<()> {
    let processes = processes()?;
    let ours = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut args = line.split(|&byte| byte == 0);
        let program = Path::new(OsStr::from_bytes(args.next().unwrap_or_default()));
        let name = program.file_name().and_then(OsStr::to_str).unwrap_or("");
        let folder = folder.as_os_str().as_bytes();
        OURS.contains(&name) && args.any(|arg| contains(arg, folder))
    };
    let mut doomed: Vec<u32> = processes.keys().copied().filter(ours).collect();
    let mut at = 0;
    while let Some(&parent) = doomed.get(at) {
        let children = processes.iter().filter(|&(_, &ppid)| ppid == parent);
        doomed.extend(children.map(|(&pid, _)| pid));
        at += 1;
    }
    for &pid in &doomed {
        // One that ended meanwhile is what is wanted.
        sys::kill(pid, Signal::KILL).ok();
    }
    wait::until("the containers have ended", Duration::from_secs(20), || {
        Ok(doomed.iter().all(|&pid| has_ended(pid)).then_some(()))
    })
}

/// Every process, with its parent.
fn processes() -> Result<BTreeMap<u32, u32>> {
    let parent = |entry: std::io::Result<std::fs::DirEntry>| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        Some((pid, rest.split(' ').nth(1)?.parse().ok()?))
    };
    Ok(std::fs::read_dir("/proc")?.filter_map(parent).collect())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Removes the sockets of the shims, which containerd keeps outside of its folders.
fn remove_shim_sockets(folder: &Path) -> Result<()> {
    let tasks = folder.join("containerd/state/io.containerd.runtime.v2.task/moby");
    for bundle in entries(&tasks)? {
        let address = std::fs::read_to_string(bundle.join("address")).unwrap_or_default();
        if let Some(socket) = address.strip_prefix("unix://") {
            // A shim that ended by itself has removed it.
            std::fs::remove_file(socket).ok();
        }
    }
    Ok(())
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

/// Removes the bridge, if it was made.
fn remove_bridge(folder: &Path) -> Result<()> {
    let Ok(bridge) = std::fs::read_to_string(folder.join(BRIDGE)) else {
        return Ok(());
    };
    if Path::new("/sys/class/net").join(&bridge).exists() {
        let ip = find_program("ip").context("can't find the program ip")?;
        output(Command::new(ip).args(["link", "delete", &bridge]))?;
    }
    Ok(())
}

/// Removes the cgroups of the containers, which only a shim that ends by itself removes.
fn remove_cgroups(folder: &Path) -> Result<()> {
    let containers = entries(&folder.join("data/containers"))?;
    let root = PathBuf::from("/sys/fs/cgroup");
    let mut parents = vec![root.join("docker")];
    parents.extend(entries(&root)?.into_iter().map(|c| c.join("docker")));
    for parent in parents.iter().filter(|parent| parent.is_dir()) {
        for id in containers.iter().filter_map(|path| path.file_name()) {
            let cgroup = parent.join(id);
            if cgroup.is_dir() {
                remove_cgroup(&cgroup)?;
            }
        }
        // Fails while another daemon has containers, and then it shall.
        std::fs::remove_dir(parent).ok();
    }
    Ok(())
}

/// Removes one cgroup; the kernel is busy with it for a moment after its last process.
fn remove_cgroup(cgroup: &Path) -> Result<()> {
    let what = format!("{} is removed", cgroup.display());
    wait::until(&what, Duration::from_secs(5), || {
        std::fs::remove_dir(cgroup).ok();
        Ok((!cgroup.exists()).then_some(()))
    })
}

/// The paths in a folder; none where there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
