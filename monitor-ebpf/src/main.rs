//! The eBPF object: its maps and programs, one module each. On any other target it is empty, so
//! that `cargo check --workspace` needs no eBPF toolchain.

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod transitions;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier lets no program through that could come here.
    loop {}
}

/// The licence that the kernel wants to see: helpers that read kernel memory are for GPL-compatible
/// programs alone, and this project's two licences make it one of them ("Dual MIT/GPL" is the
/// kernel's word for it).
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(target_arch = "bpf"))]
fn main() {}
