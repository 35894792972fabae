//! The processes of a folder: daemons, shims, and the containers below the shims.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::child::has_ended;
use crate::{sys, wait};

/// The programs whose processes are ended when their command line names the folder.
const OURS: [&str; 6] = [
    "dockerd",
    "containerd",
    "containerd-shim-runc-v2",
    "runc",
    "docker",
    "ctr",
];

/// Kills the daemons and shims of `folder`, with everything below the shims: the containers.
pub(super) fn end(folder: &Path) -> Result<()> {
    let mut doomed = BTreeSet::new();
    wait::until("the containers have ended", Duration::from_secs(20), || {
        // Looked for again each time: a shim may have been about to start while we looked.
        let found = with_descendants(folder)?;
        for &pid in &found {
            // One that ended meanwhile is what is wanted.
            sys::kill(pid, Signal::KILL).ok();
        }
        doomed.extend(found);
        Ok(doomed.iter().all(|&pid| has_ended(pid)).then_some(()))
    })
}

/// The processes of `folder` that have not ended, and all that are below them.
fn with_descendants(folder: &Path) -> Result<Vec<u32>> {
    let parents = parents()?;
    let ours = |pid: &u32| !has_ended(*pid) && is_ours(*pid, folder);
    let mut found: Vec<u32> = parents.keys().copied().filter(ours).collect();
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        let children = parents.iter().filter(|&(_, &ppid)| ppid == parent);
        found.extend(children.map(|(&pid, _)| pid));
        at += 1;
    }
    Ok(found)
}

fn is_ours(pid: u32, folder: &Path) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut args = line.split(|&byte| byte == 0);
    let program = Path::new(OsStr::from_bytes(args.next().unwrap_or_default()));
    let name = program.file_name().and_then(OsStr::to_str).unwrap_or("");
    let folder = folder.as_os_str().as_bytes();
    OURS.contains(&name) && args.any(|arg| contains(arg, folder))
}

/// Every process, with its parent.
fn parents() -> Result<BTreeMap<u32, u32>> {
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
