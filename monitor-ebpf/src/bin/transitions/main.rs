//! The object `transitions`: TCP state transitions, counted as they happen. On any other target it
//! is empty, so that `cargo check --workspace` needs no eBPF toolchain.

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod count;
#[cfg(target_arch = "bpf")]
#[path = "../shared/kernel.rs"]
mod kernel;
#[cfg(target_arch = "bpf")]
#[path = "../shared/runtime.rs"]
mod runtime;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
