//! The CPU time of another process.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result};

/// What all threads of a process have used so far, those that have ended too.
///
/// # Errors
/// When there is no such process.
pub(super) fn time_of(pid: u32) -> Result<Duration> {
    cpu_clock(pid).with_context(|| format!("cannot read the CPU time of process {pid}"))
}

fn cpu_clock(pid: u32) -> io::Result<Duration> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let mut clock = 0;
    // SAFETY: it writes one clock id to where it is told.
    match unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } {
        0 => {}
        error => return Err(io::Error::from_raw_os_error(error)),
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes one timespec to where it is told.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let seconds = u64::try_from(time.tv_sec).map_err(io::Error::other)?;
    let nanoseconds = u32::try_from(time.tv_nsec).map_err(io::Error::other)?;
    Ok(Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_time_grows_and_no_process_has_none() -> Result<()> {
        let before = time_of(std::process::id())?;
        assert!((0..2_000_000_u64).map(std::hint::black_box).sum::<u64>() > 0);
        assert!(time_of(std::process::id())? > before);
        assert!(time_of(u32::MAX).is_err());
        Ok(())
    }
}
