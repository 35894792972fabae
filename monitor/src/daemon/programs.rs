//! The eBPF programs: which of them this kernel takes, and what takes their place.

use anyhow::Context as _;
use tracing::{info, warn};

use crate::collector::Collector;
use crate::config::Config;
use crate::ebpf::{EbpfError, Kernel, LoadOptions, Passes, TransitionCounter};
use crate::sampler::counters::CountersMode;
use crate::sampler::tcp_states::{TcpStatesMode, self_test};
use crate::sampler::transitions::TransitionSampler;

/// What could be had.
#[derive(Debug, Default)]
pub(super) struct Programs {
    /// What the programs know of the kernel; as long as some are still to be set up.
    kernel: Option<Kernel>,
    /// The attached program.
    pub(super) transitions: Option<TransitionSampler>,
    /// The programs that read the kernel's tables.
    pub(super) passes: Option<Passes>,
    /// Whether these find what is in the socket tables.
    pub(super) finds_sockets: bool,
}

impl Programs {
    /// Loads what the configuration asks for. `cookies` says whether the kernel gives cookies to
    /// network namespaces.
    ///
    /// # Errors
    /// One cannot be had, and was asked for by name.
    pub(super) fn load(config: &Config, cookies: bool) -> anyhow::Result<Self> {
        let mut programs = Self::default();
        let wants_states = matches!(
            config.tcp_states,
            TcpStatesMode::Auto | TcpStatesMode::Kernel
        );
        let wants_passes = wants_states || config.counters != CountersMode::Proc;
        if !config.transitions && !wants_passes {
            return Ok(programs);
        }
        let kernel = Kernel::read(&config.sysfs, cookies);
        if config.transitions {
            let counter = kernel
                .as_ref()
                .map_err(ToString::to_string)
                .and_then(|kernel| {
                    TransitionCounter::load(kernel, LoadOptions::default())
                        .map_err(|error| error.to_string())
                });
            programs.transitions = transitions(counter, config.require_ebpf)?;
        }
        if wants_passes {
            programs.load_passes(kernel, config, wants_states)?;
        }
        Ok(programs)
    }

    fn load_passes(
        &mut self,
        kernel: Result<Kernel, EbpfError>,
        config: &Config,
        wants_states: bool,
    ) -> anyhow::Result<()> {
        let loaded = kernel.and_then(|kernel| Passes::load(&kernel).map(|passes| (passes, kernel)));
        let (mut passes, kernel) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                if config.tcp_states == TcpStatesMode::Kernel {
                    return Err(error).context("--collector.tcp-states=kernel");
                }
                if config.counters == CountersMode::Kernel {
                    return Err(error).context("--collector.counters=kernel");
                }
                info!(
                    reason = %error,
                    "the kernel's tables cannot be read: TCP states come from sock_diag, counters \
                     from /proc"
                );
                return Ok(());
            }
        };
        if wants_states {
            match self_test(&mut passes) {
                Ok(()) => {
                    self.finds_sockets = true;
                    info!("TCP states come from the kernel's socket tables");
                }
                Err(error) if config.tcp_states == TcpStatesMode::Kernel => {
                    return Err(error).context("--collector.tcp-states=kernel");
                }
                Err(error) => warn!(%error, "TCP states come from sock_diag"),
            }
        }
        self.passes = Some(passes);
        self.kernel = Some(kernel);
        Ok(())
    }

    /// Has the collector take the namespaces' counters from the kernel's own, where that was asked
    /// for and works.
    ///
    /// # Errors
    /// It does not work, and nothing else was allowed.
    pub(super) fn count(self, collector: &mut Collector, config: &Config) -> anyhow::Result<()> {
        let Some(kernel) = self.kernel else {
            return Ok(());
        };
        if config.counters == CountersMode::Proc {
            return Ok(());
        }
        match collector.use_kernel_counters(&kernel) {
            Ok(()) => info!("counters come from the kernel's own"),
            Err(error) if config.counters == CountersMode::Kernel => {
                return Err(error).context("--collector.counters=kernel");
            }
            Err(error) => warn!(%error, "counters come from /proc"),
        }
        Ok(())
    }
}

/// The attached program; `None` where it cannot be had and need not.
fn transitions(
    counter: Result<TransitionCounter, String>,
    required: bool,
) -> anyhow::Result<Option<TransitionSampler>> {
    match counter {
        Ok(counter) => {
            info!(
                attachment = counter.attachment().as_str(),
                namespaces_by = if counter.has_cookie() {
                    "cookie"
                } else {
                    "inode"
                },
                "eBPF program attached"
            );
            Ok(Some(TransitionSampler::new(counter)))
        }
        Err(error) if required => {
            Err(anyhow::anyhow!(error)).context("--require-ebpf: no eBPF program")
        }
        Err(error) => {
            warn!(%error, "no eBPF program: TCP state transitions are not counted");
            Ok(None)
        }
    }
}
