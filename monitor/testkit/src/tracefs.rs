//! The tracing file system, for one thread: it is not mounted on every machine, and the tests
//! leave the machine's mounts as they are.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use crate::sys;

/// Where it belongs.
pub const PATH: &str = "/sys/kernel/tracing";

/// Runs `f` on a thread that sees tracefs at [`PATH`].
///
/// # Errors
/// Without root's rights, where the kernel has no tracefs, and what `f` fails with. A panic in
/// `f` goes on here.
pub fn with_tracefs<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let inside = || {
        sys::unshare_mounts().context("can't make a mount namespace")?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).context("can't part from the machine's mounts")?;
        if !Path::new(PATH).join("events").exists() {
            mount("tracefs", PATH, "tracefs", MountFlags::empty(), None)
                .with_context(|| format!("can't mount tracefs at {PATH}"))?;
        }
        f()
    };
    std::thread::scope(|scope| match scope.spawn(inside).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;

    #[test]
    fn is_there_for_the_thread_alone() -> Result<()> {
        crate::require!(require::root());
        let mounts = || std::fs::read_to_string("/proc/thread-self/mounts");
        let before = mounts()?;
        let inside = with_tracefs(|| Ok(Path::new(PATH).join("events/sock").exists()))?;
        assert!(inside);
        assert_eq!(mounts()?, before);
        Ok(())
    }
}
