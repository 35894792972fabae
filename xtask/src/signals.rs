//! Ctrl-C and SIGTERM as a flag, for commands that have something to stop before they end.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From here on SIGINT and SIGTERM no longer end this process; [`asked`] tells of them. Programs
/// that it starts have the usual handling.
pub(crate) fn hold() {
    extern "C" fn note(_signal: libc::c_int) {
        ASKED.store(true, Ordering::Relaxed);
    }
    let handler = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler stores one atomic, which is async-signal-safe.
        unsafe { libc::signal(signal, handler) };
    }
}

/// Gives both signals their usual handling again.
pub(crate) fn release() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: SIG_DFL runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Whether such a signal has come.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
