//! What a run of a program keeps while it loops.
//!
//! It lies in the object's `.bss` and not on the stack: the verifier knows nothing of its values,
//! so that a loop's second round looks to it like its first, where it would follow a counter on
//! the stack through every value it can have. Its statics have symbols of their own
//! (`no_mangle`): the linker would take others apart, and the BTF of the parts is not well-formed.

use core::cell::UnsafeCell;
use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::generated::bpf_loop;

/// A value of the object's own.
#[repr(transparent)]
pub(crate) struct State<T>(UnsafeCell<T>);

// SAFETY: user space runs one program of the object at a time.
unsafe impl<T> Sync for State<T> {}

impl<T> State<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The value. Callbacks of a loop ask for it themselves: what they were called from uses its
    /// own no more until they have returned.
    #[inline(always)]
    #[expect(
        clippy::mut_from_ref,
        reason = "one program runs at a time, on one CPU"
    )]
    pub(crate) fn get(&self) -> &mut T {
        // SAFETY: see above.
        unsafe { &mut *self.0.get() }
    }
}

/// Calls `callback` with 0, 1, 2… until it returns 1, at most `times`.
#[inline(always)]
pub(crate) fn repeat(times: u32, callback: extern "C" fn(u32, *mut c_void) -> c_long) {
    // SAFETY: the callback gets no context and wants none.
    unsafe { bpf_loop(times, callback as *mut c_void, core::ptr::null_mut(), 0) };
}
