//! Why a program cannot be had, and what to do about it.

use std::io;
use std::path::PathBuf;

use tracing::debug;

use super::TRACEPOINT;
use super::btf::BtfError;
use super::offsets::Missing;

/// Why a program cannot be had. Every text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum EbpfError {
    /// The kernel describes no types.
    #[error(
        "no BTF at {path}: {source} (needs a kernel built with CONFIG_DEBUG_INFO_BTF, and sysfs \
         mounted there)"
    )]
    NoBtf {
        /// Where it was looked for.
        path: PathBuf,
        /// What came instead.
        source: io::Error,
    },
    /// The kernel's BTF cannot be read.
    #[error("{path}: {source}")]
    BadBtf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BtfError,
    },
    /// The kernel is too different.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The kernel lacks something that no other way leads around.
    #[error("the kernel has no {0}")]
    NoSuch(&'static str),
    /// `bpf(2)` is not allowed.
    #[error(
        "the kernel refuses bpf(2): operation not permitted (run privileged, or with CAP_BPF and \
         CAP_PERFMON, or CAP_SYS_ADMIN before Linux 5.8; before 5.11 with CAP_SYS_RESOURCE too, or \
         a limit of locked memory (ulimit -l) of 16 MiB; a lockdown in mode \"confidentiality\" \
         forbids it altogether)"
    )]
    NotPermitted,
    /// The kernel is locked down (`kernel_lockdown(7)`), and something was refused.
    #[error(
        "the kernel is locked down in mode \"confidentiality\", in which no program may read its \
         memory: {0}"
    )]
    LockedDown(Box<EbpfError>),
    /// The object or a map of it was not taken.
    #[error("the kernel does not take the eBPF object: {0}")]
    Load(String),
    /// No program could be attached: what the kernel, or a missing tracefs, said of each.
    #[error("no program attaches to {TRACEPOINT}: {0}")]
    Attach(String),
}

pub(super) fn load_error(error: aya::EbpfError) -> EbpfError {
    if os_error(&error) == Some(libc::EPERM) {
        EbpfError::NotPermitted
    } else {
        EbpfError::Load(one_line(&error.into()))
    }
}

/// The system's error number behind an error of aya.
pub(super) fn os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error)
}

/// An error as one line: of the verifier's log, which may follow, its complaint; all of it goes to
/// the debug log.
pub(super) fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    debug!(error = text, "refused by the kernel");
    let Some((error, log)) = text.split_once(". Verifier output: ") else {
        return text.lines().next().unwrap_or_default().to_owned();
    };
    // Statistics come behind it, and what the error itself ends with.
    let complaint = log.lines().rfind(|line| {
        let rest = ["verification time", "stack depth", "processed", ": "];
        !line.is_empty() && !rest.iter().any(|begin| line.starts_with(begin))
    });
    format!("{error}: {}", complaint.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_verifiers_log_the_complaint_is_said() {
        let text = "the BPF_PROG_LOAD syscall returned Invalid argument (os error 22). Verifier \
            output: reg type unsupported for arg#0 function transitions_tracepoint#17\n\
            0: R1=ctx(off=0,imm=0) R10=fp0\n\
            math between map_value pointer and register with unbounded min value is not allowed\n\
            verification time 16107 usec\nstack depth 296+0\n\
            processed 1513 insns (limit 1000000)\n: Invalid argument (os error 22)";
        assert_eq!(
            one_line(&anyhow::anyhow!(text)),
            "the BPF_PROG_LOAD syscall returned Invalid argument (os error 22): math between \
             map_value pointer and register with unbounded min value is not allowed"
        );
        assert_eq!(one_line(&anyhow::anyhow!("a\nb")), "a");
    }
}
