//! Control groups of the unified hierarchy, named as container runtimes name them.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{sys, wait};

/// Where cgroup2 may be mounted: beside the older hierarchies, or alone.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

/// The root of the unified hierarchy; `None` where there is none that can be written to.
pub fn root() -> Option<&'static Path> {
    let is_root = |path: &&Path| {
        let procs = path.join("cgroup.procs");
        path.join("cgroup.controllers").is_file()
            && std::fs::OpenOptions::new().write(true).open(procs).is_ok()
    };
    ROOTS.iter().map(Path::new).find(is_root)
}

/// A cgroup of its own. Dropping it removes it: its processes must have ended by then, so it is
/// to be declared before their guards.
#[derive(Debug)]
pub struct Cgroup {
    slice: PathBuf,
    path: PathBuf,
    id: String,
}

impl Cgroup {
    /// Makes a cgroup as Docker makes them for its containers, `docker-<id>.scope`, with an id
    /// that no other one has.
    ///
    /// # Errors
    /// Where there is no cgroup2, and without root's rights.
    pub fn docker() -> Result<Self> {
        Self::docker_below(root().context("there is no cgroup2")?)
    }

    /// The same in any hierarchy, one of cgroup v1 too, whose root is this.
    ///
    /// # Errors
    /// Without root's rights, and where none is mounted there.
    pub fn docker_below(root: &Path) -> Result<Self> {
        // Told apart by their first 12 letters, as those of a real Docker are.
        let id = format!("{:08x}{:04x}{:052x}", std::process::id(), next(), 0);
        let name = format!("docker-{id}.scope");
        Self::new(root, &name, id)
    }

    /// Makes a cgroup that is no container's.
    ///
    /// # Errors
    /// As [`docker`](Self::docker).
    pub fn plain() -> Result<Self> {
        let root = root().context("there is no cgroup2")?;
        Self::new(root, "plain", String::new())
    }

    fn new(root: &Path, name: &str, id: String) -> Result<Self> {
        let slice = root.join(format!("testkit-{}-{}.slice", std::process::id(), next()));
        let path = slice.join(name);
        let cgroup = Self { slice, path, id };
        std::fs::create_dir_all(&cgroup.path)
            .with_context(|| format!("can't make {}", cgroup.path.display()))?;
        Ok(cgroup)
    }

    /// The container's id; empty for a cgroup that is no container's.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its folder, whose inode number is the cgroup's id.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The container's name where no runtime tells it: the first 12 letters of the id.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or("")
    }

    /// Puts the child of `command` in it.
    ///
    /// # Errors
    /// None in practice: the path has no zero byte.
    pub fn put(&self, command: &mut Command) -> Result<()> {
        let procs = self.path.join("cgroup.procs");
        let procs = CString::new(procs.into_os_string().into_encoded_bytes())?;
        sys::in_cgroup(command, procs);
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that was killed just now is in it for a moment more.
        let gone = wait::until("the cgroup is empty", Duration::from_secs(2), || {
            Ok(std::fs::remove_dir(&self.path).is_ok().then_some(()))
        });
        if let Err(error) = gone {
            eprintln!("{}: {error:#}", self.path.display());
        }
        std::fs::remove_dir(&self.slice).ok();
    }
}

/// A number that this process has not used yet.
fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::Process;
    use crate::require;

    #[test]
    fn holds_its_process_and_goes_with_its_guard() -> Result<()> {
        crate::require!(require::root(), require::cgroup2());
        let cgroup = Cgroup::docker()?;
        let mut sleep = Command::new("sleep");
        sleep.arg("infinity");
        cgroup.put(&mut sleep)?;
        let process = Process::spawn(sleep)?;
        let membership = std::fs::read_to_string(format!("/proc/{}/cgroup", process.pid()))?;
        assert!(membership.contains(cgroup.id()), "{membership}");
        let (path, slice) = (cgroup.path.clone(), cgroup.slice.clone());
        assert!(path.is_dir());
        drop(process);
        drop(cgroup);
        assert!(!slice.exists());
        Ok(())
    }
}
