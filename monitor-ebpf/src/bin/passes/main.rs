//! The object `passes`: programs that are never attached and read the kernel's own tables when
//! user space runs them (`BPF_PROG_TEST_RUN`). They are raw tracepoint programs written out:
//! aya-ebpf's macro has them all return 0, and these answer. On any other target it is empty, so that
//! `cargo check --workspace` needs no eBPF toolchain.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

/// Offsets and sizes that user space sets before the load.
#[cfg(target_arch = "bpf")]
macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $(
            $(#[$doc])*
            #[unsafe(no_mangle)]
            static $name: aya_ebpf::Global<u64> = aya_ebpf::Global::new(0);
        )+
    };
}

#[cfg(target_arch = "bpf")]
mod chain;
#[cfg(target_arch = "bpf")]
mod counters;
#[cfg(target_arch = "bpf")]
#[path = "../shared/kernel.rs"]
mod kernel;
#[cfg(target_arch = "bpf")]
mod namespaces;
#[cfg(target_arch = "bpf")]
mod net;
#[cfg(target_arch = "bpf")]
#[path = "../shared/runtime.rs"]
mod runtime;
#[cfg(target_arch = "bpf")]
mod sockets;
#[cfg(target_arch = "bpf")]
mod state;
#[cfg(target_arch = "bpf")]
mod tally;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
