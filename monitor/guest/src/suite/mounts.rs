//! File systems that some machines have and others do not.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A mount that goes with this.
#[derive(Debug)]
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// Mounts a file system that lies on nothing.
    pub(crate) fn new(
        kind: &str,
        place: impl Into<PathBuf>,
        options: Option<&str>,
    ) -> Result<Self> {
        Self::of(Path::new(kind), kind, place, options)
    }

    /// Mounts the file system of a device.
    pub(crate) fn of(
        device: &Path,
        kind: &str,
        place: impl Into<PathBuf>,
        options: Option<&str>,
    ) -> Result<Self> {
        let place = place.into();
        std::fs::create_dir_all(&place)
            .with_context(|| format!("cannot make {}", place.display()))?;
        let options = options.map(std::ffi::CString::new).transpose()?;
        mount(
            device,
            &place,
            kind,
            MountFlags::empty(),
            options.as_deref(),
        )
        .with_context(|| format!("cannot mount {kind} at {}", place.display()))?;
        Ok(Self(place))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Keeps it to the machine's end.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.0, UnmountFlags::empty()) {
            eprintln!("cannot unmount {}: {error}", self.0.display());
        }
    }
}

/// The unified hierarchy, to the machine's end.
pub(crate) fn cgroup2() -> Result<()> {
    Mounted::new("cgroup2", CGROUPS, None).map(Mounted::keep)
}

/// The tracing file system, to the machine's end.
pub(crate) fn tracefs() -> Result<()> {
    Mounted::new("tracefs", testkit::tracefs::PATH, None).map(Mounted::keep)
}

/// The file that the kernel's lockdown is read and written at.
pub(crate) fn lockdown() -> Result<&'static Path> {
    const SECURITY: &str = "/sys/kernel/security";
    let file = Path::new("/sys/kernel/security/lockdown");
    if !file.exists() {
        Mounted::new("securityfs", SECURITY, None).map(Mounted::keep)?;
    }
    Ok(file)
}

/// Where cgroups are mounted.
pub(crate) const CGROUPS: &str = "/sys/fs/cgroup";
