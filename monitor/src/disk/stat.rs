//! `io.stat` of cgroup v2 and `blkio.throttle.*` of cgroup v1: what a cgroup and those below it
//! did to each block device (block/blk-cgroup.c, block/blk-throttle.c).
//!
//! ```text
//! 8:0 rbytes=180224 wbytes=0 rios=3 wios=0 dbytes=0 dios=0        io.stat
//!
//! 8:0 Read 180224                                                 blkio.throttle.io_service_bytes
//! 8:0 Write 0
//! Total 180224
//! ```

use std::collections::BTreeMap;

use crate::procfs::mountinfo::Device;
use crate::procfs::{Number, ParseError};

/// What went to and came from one block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads completed.
    pub reads: u64,
    /// Writes completed.
    pub writes: u64,
}

/// Traffic by device.
pub type ByDevice = BTreeMap<Device, Traffic>;

/// Parses `io.stat`. Keys that are not known (discards, what a controller of costs adds) are left
/// out, and a device without any of the others is none.
///
/// # Errors
/// A line that begins with no device, or a value that is no number.
pub fn io_stat(text: &[u8], traffic: &mut ByDevice) -> Result<(), ParseError> {
    for (line, mut words) in lines(text) {
        let device = device(words.next().unwrap_or_default(), line)?;
        for word in words {
            let Some((key, value)) = split(word, b'=') else {
                continue;
            };
            let field: fn(&mut Traffic) -> &mut u64 = match key {
                b"rbytes" => |traffic| &mut traffic.read_bytes,
                b"wbytes" => |traffic| &mut traffic.written_bytes,
                b"rios" => |traffic| &mut traffic.reads,
                b"wios" => |traffic| &mut traffic.writes,
                _ => continue,
            };
            *field(traffic.entry(device).or_default()) = number(value, line, "io.stat")?;
        }
    }
    Ok(())
}

/// What a file of cgroup v1 counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// `io_service_bytes`
    Bytes,
    /// `io_serviced`
    Operations,
}

/// Parses a `blkio.throttle` file. Its sums, and what is told of discards and of the manner of a
/// write, are left out.
///
/// # Errors
/// As [`io_stat`].
pub fn blkio(text: &[u8], counted: Counted, traffic: &mut ByDevice) -> Result<(), ParseError> {
    for (line, mut words) in lines(text) {
        let first = words.next().unwrap_or_default();
        if first == b"Total" {
            continue;
        }
        let device = device(first, line)?;
        let field: fn(&mut Traffic) -> &mut u64 = match (words.next(), counted) {
            (Some(b"Read"), Counted::Bytes) => |traffic| &mut traffic.read_bytes,
            (Some(b"Write"), Counted::Bytes) => |traffic| &mut traffic.written_bytes,
            (Some(b"Read"), Counted::Operations) => |traffic| &mut traffic.reads,
            (Some(b"Write"), Counted::Operations) => |traffic| &mut traffic.writes,
            _ => continue,
        };
        let value = number(words.next().unwrap_or_default(), line, "blkio.throttle")?;
        *field(traffic.entry(device).or_default()) = value;
    }
    Ok(())
}

/// The lines that are not empty, counted from 1, as words.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, impl Iterator<Item = &[u8]>)> {
    text.split(|&byte| byte == b'\n')
        .zip(1..)
        .filter(|(line, _)| !line.is_empty())
        .map(|(line, number)| {
            let words = line.split(|&byte| byte == b' ');
            (number, words.filter(|word| !word.is_empty()))
        })
}

fn split(word: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(at, word)?;
    Some((&word[..at], &word[at + 1..]))
}

fn device(word: &[u8], line: usize) -> Result<Device, ParseError> {
    let parsed = split(word, b':').and_then(|(major, minor)| {
        Some(Device {
            major: digits(major)?.try_into().ok()?,
            minor: digits(minor)?.try_into().ok()?,
        })
    });
    parsed.ok_or_else(|| ParseError::not_a_number(line, "device", word))
}

fn number(word: &[u8], line: usize, field: &str) -> Result<u64, ParseError> {
    digits(word).ok_or_else(|| ParseError::not_a_number(line, field, word))
}

fn digits(word: &[u8]) -> Option<u64> {
    match Number::parse(word)? {
        Number::Unsigned(value) => Some(value),
        Number::Negative(_) => None,
    }
}

#[cfg(test)]
mod tests;
