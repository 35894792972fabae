//! The cgroups of a folder's containers, which only a shim that ends by itself removes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::entries;
use crate::{sys, wait};

const ROOT: &str = "/sys/fs/cgroup";

/// Removes the cgroups of the containers that Docker's files in `folder` name, and those below a
/// cgroup named as the folder is, in every hierarchy.
pub(super) fn remove(folder: &Path) -> Result<()> {
    let containers = entries(&folder.join("data/containers"))?;
    let mut hierarchies = vec![PathBuf::from(ROOT)];
    hierarchies.extend(entries(Path::new(ROOT))?);
    let name = folder.file_name().context("the folder has no name")?;
    for hierarchy in hierarchies {
        let own = hierarchy.join(name);
        if own.is_dir() {
            remove_tree(&own)?;
        }
        let parent = hierarchy.join("docker");
        for id in containers.iter().filter_map(|path| path.file_name()) {
            let cgroup = parent.join(id);
            if cgroup.is_dir() {
                remove_one(&cgroup)?;
            }
        }
        if parent.is_dir() {
            // Fails while another daemon has containers, and then it shall.
            std::fs::remove_dir(parent).ok();
        }
    }
    Ok(())
}

/// Removes a cgroup with all that are below it, and ends what runs there: a container may have
/// lost its shim.
fn remove_tree(cgroup: &Path) -> Result<()> {
    for child in entries(cgroup)?.iter().filter(|child| child.is_dir()) {
        remove_tree(child)?;
    }
    let processes = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| line.parse().ok()) {
        // One that ended meanwhile is what is wanted.
        sys::kill(pid, Signal::KILL).ok();
    }
    remove_one(cgroup)
}

/// Removes one cgroup; the kernel is busy with it for a moment after its last process.
fn remove_one(cgroup: &Path) -> Result<()> {
    let what = format!("{} is removed", cgroup.display());
    wait::until(&what, Duration::from_secs(5), || {
        std::fs::remove_dir(cgroup).ok();
        Ok((!cgroup.exists()).then_some(()))
    })
}
