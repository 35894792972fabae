//! What every eBPF object needs beside its programs: a panic handler and a licence.

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier lets no program through that could come here.
    loop {}
}

/// The licence that the kernel wants to see: helpers that read kernel memory are for GPL-compatible
/// programs alone, and this project's two licences make it one of them ("Dual MIT/GPL" is the
/// kernel's word for it).
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
