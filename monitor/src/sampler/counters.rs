//! The counters of network namespaces: the kernel's own, read in one pass, or those that the files
//! of `/proc` show.
//!
//! The pass finds its way by what BTF says, so it is believed only as long as it agrees with the
//! files: at the start in the host's namespace, later in a few namespaces at every collection.
//! `sockstat` and `sockstat6` are always read, and so is every file that shows a field whose
//! counter the pass does not know.

mod agreement;
mod kernel;

use std::io;
use std::time::Duration;

use tracing::{debug, warn};

use self::kernel::KernelCounters;
use super::namespace::{NamespaceSampler, NamespaceSamples, Target};
use crate::ebpf::passes::{NamespacePass, Passes};
use crate::ebpf::{EbpfError, Kernel};
use crate::metrics::{CounterFile, Counters, Schema};
use crate::procfs::Process;

/// Where counters come from, when it is for somebody to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountersMode {
    /// From the kernel's own where that can be, else from the files.
    Auto,
    /// From the kernel's own, or not at all.
    Kernel,
    /// From the files.
    Proc,
}

/// Where counters come from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountersSource {
    /// The kernel's own.
    Kernel,
    /// The files of `/proc`.
    Proc,
}

impl CountersSource {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Kernel, Self::Proc];

    /// The value of the label `source`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Proc => "proc",
        }
    }
}

/// Why the kernel's own counters are not used.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    /// They cannot be read.
    #[error(transparent)]
    Ebpf(#[from] EbpfError),
    /// A pass failed.
    #[error("the pass over the network namespaces failed: {0}")]
    Pass(#[source] io::Error),
    /// The files that they are compared with cannot be read.
    #[error("the host's counter files cannot be read: {0}")]
    Files(#[source] io::Error),
    /// The host's namespace was not found.
    #[error("the pass over the network namespaces does not find the host's")]
    NoHost,
    /// They are not what the files say.
    #[error("they are not what the files say: {0}")]
    Disagreement(String),
}

/// A namespace to be read, as the pass knows it.
#[derive(Clone, Copy, Debug)]
pub struct NamedTarget<'a> {
    /// The namespace.
    pub target: Target<'a>,
    /// Its cookie, where the kernel has one.
    pub cookie: Option<u64>,
}

/// What a walk over the kernel's namespaces gave.
#[derive(Debug, Default)]
pub struct CounterWalk {
    given: Vec<Option<Counters>>,
    /// Whether counters come from it.
    pub is_whole: bool,
    /// The kernel's namespaces, where they were walked.
    pub pass: Option<NamespacePass>,
    error: Option<io::Error>,
    duration: Duration,
}

/// What one round over all namespaces gave.
#[derive(Debug)]
pub struct CounterSamples {
    /// The counters, and how the files fared.
    pub namespaces: NamespaceSamples,
    /// Why the kernel's namespaces were not walked, though they were to be.
    pub error: Option<io::Error>,
    /// Time the walk took.
    pub duration: Duration,
}

/// Brings the counters.
#[derive(Debug)]
pub struct CounterSampler {
    empty: Counters,
    files: NamespaceSampler,
    kernel: Option<KernelCounters>,
}

impl CounterSampler {
    /// A sampler of the files alone.
    pub fn new(schema: &Schema, files: &[CounterFile]) -> Self {
        Self {
            empty: schema.counters(),
            files: NamespaceSampler::new(schema, files),
            kernel: None,
        }
    }

    /// Takes what it can from the kernel's own counters from now on, having compared them with
    /// the files of the host's namespace, that of `init`.
    ///
    /// # Errors
    /// They cannot be read, or are not what the files say; then all comes from the files.
    pub fn use_kernel(
        &mut self,
        passes: &mut Passes,
        kernel: &Kernel,
        schema: &Schema,
        files: &[CounterFile],
        host: NamedTarget<'_>,
    ) -> Result<(), CountersError> {
        let layout = passes.enable_counters(kernel, schema.slots())?.clone();
        match KernelCounters::new(passes, &layout, schema, files, host) {
            Ok(counters) => {
                self.files.set_covered(counters.covered().to_vec());
                self.kernel = Some(counters);
                Ok(())
            }
            Err(error) => {
                passes.disable_counters();
                Err(error)
            }
        }
    }

    /// Where the counters come from.
    pub fn source(&self) -> CountersSource {
        match self.kernel {
            Some(_) => CountersSource::Kernel,
            None => CountersSource::Proc,
        }
    }

    /// Walks the kernel's namespaces, where counters come from there.
    pub fn walk(
        &mut self,
        passes: Option<&mut Passes>,
        targets: &[NamedTarget<'_>],
    ) -> CounterWalk {
        let (Some(passes), Some(kernel)) = (passes, &mut self.kernel) else {
            return CounterWalk::default();
        };
        let walk = match kernel.walk(passes, targets, &self.empty) {
            Ok(walk) => walk,
            Err(error) => {
                debug!(%error, "no pass over the network namespaces");
                return CounterWalk {
                    error: Some(error),
                    ..CounterWalk::default()
                };
            }
        };
        let duration = walk.pass.duration;
        let (mut given, mut is_whole) = (walk.counters, true);
        if let Some(disagreement) = walk.disagreement {
            warn!(
                "the kernel's own counters are not used any more: {disagreement}; all come from \
                 /proc from now on"
            );
            self.files.set_covered(Vec::new());
            self.kernel = None;
            (given, is_whole) = (Vec::new(), false);
        }
        CounterWalk {
            given,
            is_whole,
            pass: Some(walk.pass),
            error: None,
            duration,
        }
    }

    /// Reads of all targets what the walk before did not bring.
    pub fn read(&mut self, walk: CounterWalk, targets: &[NamedTarget<'_>]) -> CounterSamples {
        let bare: Vec<Target<'_>> = targets.iter().map(|target| target.target).collect();
        CounterSamples {
            namespaces: self.files.sample(&bare, walk.given),
            duration: walk.duration,
            error: walk.error,
        }
    }
}

/// The process through which a target is read.
fn process<'a>(target: &NamedTarget<'a>) -> &'a Process {
    target.target.process
}
