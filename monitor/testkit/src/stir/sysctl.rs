//! A setting of the kernel that is changed for a while.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// A changed setting, until this is dropped: then it is as before. Those of `net` are the calling
/// thread's namespace's, so both must happen there.
#[derive(Debug)]
pub(super) struct Sysctl {
    path: PathBuf,
    before: String,
}

impl Sysctl {
    /// Changes `name`, as in `net/ipv4/tcp_syncookies`.
    pub(super) fn set(name: &str, value: &str) -> Result<Self> {
        let path = PathBuf::from("/proc/sys").join(name);
        let before = std::fs::read_to_string(&path);
        let before = before.with_context(|| format!("can't read {}", path.display()))?;
        std::fs::write(&path, value).with_context(|| format!("can't write {}", path.display()))?;
        Ok(Self { path, before })
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        // It could be written before.
        std::fs::write(&self.path, &self.before).ok();
    }
}
