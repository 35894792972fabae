//! The project's own eBPF programs.
//!
//! [`TransitionCounter`] is attached and counts TCP state transitions as they happen;
//! [`Passes`] reads the kernel's own tables when asked. Their sources are the crate
//! `monitor-ebpf`; the objects are checked in under `monitor/bpf/` (`cargo xtask build-ebpf`).

pub mod btf;
mod error;
#[cfg(test)]
mod kernels;
pub mod offsets;
mod options;
pub mod passes;
pub mod record;
mod sys;
mod transitions;

use std::path::{Path, PathBuf};

use btf::Btf;
pub use error::EbpfError;
pub use options::{Attachment, LoadOptions};
pub use passes::Passes;
pub use transitions::TransitionCounter;

/// The tracepoint, as `container_monitor_ebpf_attached` names it.
pub const TRACEPOINT: &str = "inet_sock_set_state";

/// SHA-256 of the objects' sources, as `container_monitor_build_info{ebpf_object}` shows it.
pub const OBJECT_SOURCES: &str = include_str!("../../bpf/sources.sha256");

/// What the programs need to know of the running kernel.
#[derive(Debug)]
pub struct Kernel {
    sysfs: PathBuf,
    btf_path: PathBuf,
    btf: Btf,
    cookies: bool,
}

impl Kernel {
    /// Reads the kernel's own description of its types. `sysfs` is where sysfs is mounted;
    /// `cookies` says whether user space can ask for a network namespace's cookie.
    ///
    /// # Errors
    /// There is no BTF, or it cannot be read.
    pub fn read(sysfs: &Path, cookies: bool) -> Result<Self, EbpfError> {
        let path = sysfs.join("kernel/btf/vmlinux");
        let data = std::fs::read(&path).map_err(|source| EbpfError::NoBtf {
            path: path.clone(),
            source,
        })?;
        let btf = Btf::parse(data).map_err(|source| EbpfError::BadBtf {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            sysfs: sysfs.to_owned(),
            btf_path: path,
            btf,
            cookies,
        })
    }

    /// An error with what is behind it, where that can be told.
    fn explain(&self, error: EbpfError) -> EbpfError {
        let mode = std::fs::read_to_string(self.sysfs.join("kernel/security/lockdown"));
        let is_locked_down = mode.is_ok_and(|mode| mode.contains("[confidentiality]"));
        match error {
            EbpfError::Load(_) | EbpfError::Attach(_) | EbpfError::NotPermitted
                if is_locked_down =>
            {
                EbpfError::LockedDown(Box::new(error))
            }
            error => error,
        }
    }
}
