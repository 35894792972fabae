//! The writer of the Prometheus text format 0.0.4 for container series.
//!
//! It writes integers under labels that were escaped beforehand, so that a sample is four copies
//! and a number. Histograms, floats and timestamps it does not know; the exporter's own metrics
//! go through the `prometheus` crate (see [`own`](super::own)).

use super::labels::{Labels, Tail, push_escaped};
use super::tables::Kind;
use crate::procfs::Number;

/// Writes families of samples behind what `out` already holds, and counts the samples.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut String,
    series: u64,
}

impl<'a> Encoder<'a> {
    /// An encoder that appends to `out`.
    pub fn new(out: &'a mut String) -> Self {
        Self { out, series: 0 }
    }

    /// Begins a family. It ends when the returned value is dropped; a family that got no sample
    /// by then leaves nothing behind.
    pub fn family(&mut self, name: &'a str, help: &str, kind: Kind) -> Family<'_> {
        let start = self.out.len();
        push_header(self.out, name, help, kind);
        Family::new(self.out, &mut self.series, start, name)
    }

    /// As [`Encoder::family`], its HELP and TYPE lines made beforehand by [`header`].
    pub(super) fn prepared_family<'e>(&'e mut self, name: &'e str, header: &str) -> Family<'e> {
        let start = self.out.len();
        self.out.push_str(header);
        Family::new(self.out, &mut self.series, start, name)
    }

    /// The samples written so far.
    pub fn series(&self) -> u64 {
        self.series
    }
}

/// The HELP and TYPE lines of a family.
pub(super) fn header(name: &str, help: &str, kind: Kind) -> String {
    let mut out = String::new();
    push_header(&mut out, name, help, kind);
    out
}

fn push_header(out: &mut String, name: &str, help: &str, kind: Kind) {
    out.push_str("# HELP ");
    out.push_str(name);
    out.push(' ');
    push_escaped(out, help, false);
    out.push_str("\n# TYPE ");
    out.push_str(name);
    out.push(' ');
    out.push_str(kind.as_str());
    out.push('\n');
}

/// One family, open for samples.
#[derive(Debug)]
pub struct Family<'e> {
    out: &'e mut String,
    series: &'e mut u64,
    name: &'e str,
    start: usize,
    empty: usize,
}

impl<'e> Family<'e> {
    fn new(out: &'e mut String, series: &'e mut u64, start: usize, name: &'e str) -> Self {
        let empty = out.len();
        Self {
            out,
            series,
            name,
            start,
            empty,
        }
    }

    /// Writes a sample of the row `labels`, distinguished within it by `tail`.
    #[inline]
    pub fn sample(&mut self, labels: &Labels, tail: &Tail, value: Number) {
        let (labels, tail) = (labels.as_str(), tail.as_str());
        // One reservation for all that follows; 24 bytes hold every number and the rest.
        self.out
            .reserve(self.name.len() + labels.len() + tail.len() + 24);
        self.out.push_str(self.name);
        if labels.is_empty() {
            self.push_tail_alone(tail);
        } else {
            self.out.push_str(labels);
            self.out.push_str(tail);
        }
        let mut digits = itoa::Buffer::new();
        self.out.push_str(match value {
            Number::Unsigned(value) => digits.format(value),
            Number::Negative(value) => digits.format(value),
        });
        self.out.push('\n');
        *self.series += 1;
    }

    /// The tail of a row without labels: the comma it begins with becomes the brace, and a tail
    /// without labels needs no braces at all.
    #[cold]
    fn push_tail_alone(&mut self, tail: &str) {
        if let Some(labels) = tail.strip_prefix(',') {
            self.out.push('{');
            self.out.push_str(labels);
        } else {
            self.out.push(' ');
        }
    }
}

impl Drop for Family<'_> {
    fn drop(&mut self) {
        if self.out.len() == self.empty {
            self.out.truncate(self.start);
        }
    }
}

#[cfg(test)]
mod tests;
