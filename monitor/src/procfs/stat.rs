//! `/proc/<pid>/stat`: the few fields that identify a process.
//!
//! The command name is written as it is (fs/proc/array.c, `do_task_stat`): it may hold spaces,
//! parentheses, line breaks and bytes that are no UTF-8. No later field has a parenthesis, so the
//! last one ends the name. Times and memory are left out.

use super::Number;
use super::ParseError;

/// What a process is and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    /// Process id.
    pub pid: u32,
    /// Command name, at most 15 bytes for user processes.
    pub comm: &'a [u8],
    /// State letter (`R`, `S`, `D`, `T`, `Z`, …).
    pub state: u8,
    /// Threads of the process, an exited leader not yet reaped among them.
    pub threads: u32,
    /// When it started: clock ticks since boot.
    pub start_ticks: u64,
}

impl Stat<'_> {
    /// Whether the process has exited; of a thread-group leader other threads may live on.
    pub fn has_exited(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Parses a `/proc/<pid>/stat`.
///
/// # Errors
/// The name is not in parentheses, a field is missing or no number.
pub fn parse(text: &[u8]) -> Result<Stat<'_>, ParseError> {
    let open = memchr::memchr(b'(', text).ok_or_else(|| mismatch("has no command name"))?;
    let close = memchr::memrchr(b')', text)
        .filter(|&close| close > open)
        .ok_or_else(|| mismatch("its command name does not end"))?;
    let mut fields = text[close + 1..]
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|field| !field.is_empty());
    let state = match fields.next() {
        Some(&[state]) if state.is_ascii_alphabetic() => state,
        _ => return Err(mismatch("has no state letter")),
    };
    // The state is field 3, so these skip to fields 20 and 22 of proc_pid_stat(5).
    let threads = number(fields.nth(16), "num_threads")?;
    let start_ticks = number(fields.nth(1), "starttime")?;
    Ok(Stat {
        pid: number(Some(text[..open].trim_ascii()), "pid")?,
        comm: &text[open + 1..close],
        state,
        threads,
        start_ticks,
    })
}

fn number<T: std::str::FromStr>(field: Option<&[u8]>, name: &str) -> Result<T, ParseError> {
    let field = field.ok_or(ParseError::Truncated { line: 1 })?;
    std::str::from_utf8(field)
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| ParseError::NotANumber {
            line: 1,
            field: name.to_owned(),
            value: String::from_utf8_lossy(field).into_owned(),
        })
}

fn mismatch(reason: &str) -> ParseError {
    ParseError::Mismatch {
        line: 1,
        reason: reason.to_owned(),
    }
}

/// When the machine was booted, in nanoseconds since the Unix epoch: the line `btime` of
/// `/proc/stat`, which counts seconds (`fs/proc/stat.c`).
pub fn boot_time(text: &[u8]) -> Option<u64> {
    let line = text
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"btime "))?;
    match Number::parse(line)? {
        Number::Unsigned(seconds) => seconds.checked_mul(1_000_000_000),
        Number::Negative(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse;
    use crate::procfs::ParseError;

    /// A capture of Linux 6.18, of `cat /proc/self/stat`.
    const CAPTURE: &[u8] = b"12552 (cat) R 12511 12509 6995 0 -1 4194304 75 0 1 0 0 0 0 0 20 0 \
1 0 187579 3133440 413 18446744073709551615 93957998428160 93957998448041 140728469045296 0 0 0 \
0 0 0 0 0 0 17 1 0 0 0 0 0 93957998464048 93957998465664 93958819770368 140728469047554 \
140728469047574 140728469047574 140728469049323 0\n";

    #[test]
    fn a_capture_is_read() {
        let stat = parse(CAPTURE).unwrap();
        assert_eq!(stat.pid, 12552);
        assert_eq!(stat.comm, b"cat");
        assert_eq!(stat.state, b'R');
        assert_eq!(stat.threads, 1);
        assert_eq!(stat.start_ticks, 187_579);
        assert!(!stat.has_exited());
    }

    #[test]
    fn a_truncated_file_is_an_error_at_every_length() {
        // Cut within the first digit of field 22 or before it.
        let end = CAPTURE
            .windows(8)
            .position(|window| window == b" 187579 ")
            .unwrap();
        for length in 0..=end {
            assert!(parse(&CAPTURE[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn wrong_fields_are_errors() {
        assert!(matches!(
            parse(b"1 (a) SS 1"),
            Err(ParseError::Mismatch { .. })
        ));
        assert!(matches!(
            parse(b"1 )a( S"),
            Err(ParseError::Mismatch { .. })
        ));
        let text = format!("x (a) S{} 7 0 9", " 1".repeat(16));
        assert!(matches!(
            parse(text.as_bytes()),
            Err(ParseError::NotANumber { .. })
        ));
        let text = format!("1 (a) S{} 7 0 -9", " 1".repeat(16));
        assert!(matches!(
            parse(text.as_bytes()),
            Err(ParseError::NotANumber { .. })
        ));
    }

    #[test]
    fn the_own_file_is_understood() {
        let text = std::fs::read("/proc/self/stat").unwrap();
        let stat = parse(&text).unwrap();
        assert_eq!(stat.pid, std::process::id());
        assert!(stat.threads >= 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&text);
        }

        #[test]
        fn any_command_name_is_kept_as_it_is(
            comm in proptest::collection::vec(1..=255u8, 0..16),
            pid in any::<u32>(),
            threads in any::<u32>(),
            start in any::<u64>(),
            zombie in any::<bool>(),
        ) {
            let mut text = format!("{pid} (").into_bytes();
            text.extend(&comm);
            let state = if zombie { 'Z' } else { 'S' };
            text.extend(format!(") {state}{} {threads} 0 {start} 0\n", " -1".repeat(16)).bytes());
            let stat = parse(&text).unwrap();
            prop_assert_eq!(stat.pid, pid);
            prop_assert_eq!(stat.comm, &comm[..]);
            prop_assert_eq!(stat.has_exited(), zombie);
            prop_assert_eq!(stat.threads, threads);
            prop_assert_eq!(stat.start_ticks, start);
        }
    }
}
