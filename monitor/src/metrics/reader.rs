//! From a counter file's bytes to the slots of a [`Schema`](super::Schema): the hot path.
//!
//! Hundreds of namespaces of one kernel show the same names in the same order, so a reader
//! learns the names once and from then on only compares bytes. What it learned decides nothing
//! but the speed: names that differ are looked up again.

use super::schema::{Counters, SlotSource};
use super::tables::{CounterFile, Kind};
use crate::procfs::{Number, ParseError, mib, snmp6, sockstat};

/// Lines of `snmp6` kept at most. Kernels show a hundred; the bound holds for files that are none.
const HEADS: usize = 1024;

/// Lines of names kept at most, as many groups as a file may have.
const HEADERS: usize = 32;

/// Reads one of the counter files, of any number of namespaces one after the other.
#[derive(Clone, Debug)]
pub struct FileReader {
    file: CounterFile,
    wanted: Vec<Wanted>,
    heads: Heads,
    headers: Vec<Header>,
}

impl FileReader {
    pub(super) fn new(file: CounterFile, slots: &[SlotSource]) -> Self {
        let wanted = slots
            .iter()
            .enumerate()
            .filter(|(_, source)| source.file == file)
            .map(|(slot, source)| Wanted {
                group: source.group.as_bytes().into(),
                field: source.field.as_bytes().into(),
                slot: Slot {
                    index: slot,
                    gauge: source.kind == Kind::Gauge,
                },
            })
            .collect();
        Self {
            file,
            wanted,
            heads: Heads::default(),
            headers: Vec::new(),
        }
    }

    /// The file it reads.
    pub fn file(&self) -> CounterFile {
        self.file
    }

    /// Fills the file's slots of `out`; fields that `text` does not have become `None`.
    ///
    /// # Errors
    /// The text is not understood. All of the file's slots are `None` then.
    pub fn read(&mut self, text: &[u8], out: &mut Counters) -> Result<(), ParseError> {
        self.forget(out);
        let result = match self.file {
            // A dozen short names: looking them up takes no longer than remembering them would.
            CounterFile::Sockstat | CounterFile::Sockstat6 => {
                sockstat::parse(text, |line, key, value| {
                    store(out, find(&self.wanted, line, key), value);
                })
            }
            CounterFile::Snmp6 => self.read_rows(text, out),
            CounterFile::Snmp | CounterFile::Netstat => self.read_pairs(text, out),
        };
        if result.is_err() {
            self.forget(out);
        }
        result
    }

    /// Makes all of the file's slots of `out` empty, as when it could not be read.
    pub fn forget(&self, out: &mut Counters) {
        for wanted in &self.wanted {
            out.set(wanted.slot.index, None);
        }
    }

    fn read_rows(&mut self, text: &[u8], out: &mut Counters) -> Result<(), ParseError> {
        let mut rows = snmp6::Rows::new(text)?;
        let mut next = 0;
        while let Some(row) = rows.next()? {
            let slot = match self.heads.0.get(next) {
                Some(head) if *head.text == *row.head() => {
                    next += 1;
                    head.slot
                }
                _ => self.heads.other(&row, &mut next, &self.wanted)?,
            };
            store(out, slot, row.value());
        }
        Ok(())
    }

    fn read_pairs(&mut self, text: &[u8], out: &mut Counters) -> Result<(), ParseError> {
        let mut pairs = mib::Pairs::new(text)?;
        let mut next = 0;
        while let Some(pair) = pairs.next()? {
            let at = self.header(&pair, next);
            next = at + 1;
            let columns = &self.headers[at].columns;
            pair.values(columns.len(), |column, value| {
                store(out, columns[column], value);
            })?;
        }
        Ok(())
    }

    /// The index of the header with the pair's line of names, most likely `guess`.
    fn header(&mut self, pair: &mib::Pair<'_>, guess: usize) -> usize {
        let known = |header: &Header| *header.names == *pair.names();
        if self.headers.get(guess).is_some_and(known) {
            return guess;
        }
        if let Some(at) = self.headers.iter().position(known) {
            return at;
        }
        if self.headers.len() == HEADERS {
            self.headers.clear();
        }
        self.headers.push(Header {
            names: pair.names().into(),
            columns: pair
                .fields()
                .map(|field| find(&self.wanted, pair.group(), field))
                .collect(),
        });
        self.headers.len() - 1
    }
}

/// A line of names, and the slot of each column.
#[derive(Clone, Debug)]
struct Header {
    names: Box<[u8]>,
    columns: Box<[Option<Slot>]>,
}

/// A field that has a slot.
#[derive(Clone, Debug)]
struct Wanted {
    group: Box<[u8]>,
    field: Box<[u8]>,
    slot: Slot,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    index: usize,
    gauge: bool,
}

fn find(wanted: &[Wanted], group: &[u8], field: &[u8]) -> Option<Slot> {
    wanted
        .iter()
        .find(|wanted| *wanted.field == *field && *wanted.group == *group)
        .map(|wanted| wanted.slot)
}

#[inline]
fn store(out: &mut Counters, slot: Option<Slot>, value: Number) {
    let Some(slot) = slot else { return };
    out.set(slot.index, plausible(slot.gauge, value));
}

/// A value of the kernel's, where it can be true. A gauge is the sum of per-CPU halves that are
/// read at different moments; a sum below zero comes out as a number near 2^64 and says nothing.
#[inline]
pub(crate) fn plausible(gauge: bool, value: Number) -> Option<Number> {
    let wrapped = matches!(value, Number::Unsigned(value) if value > i64::MAX as u64);
    (!(gauge && wrapped)).then_some(value)
}

/// The lines of `snmp6` without their numbers, in the order in which they came.
#[derive(Clone, Debug, Default)]
struct Heads(Vec<Head>);

#[derive(Clone, Debug)]
struct Head {
    text: Box<[u8]>,
    slot: Option<Slot>,
}

impl Heads {
    /// The slot of a row that is not the expected one: the last namespace had a line more or less
    /// here, or the row is new and takes this place. `next` is then the place of the row after it.
    #[cold]
    fn other(
        &mut self,
        row: &snmp6::Row<'_>,
        next: &mut usize,
        wanted: &[Wanted],
    ) -> Result<Option<Slot>, ParseError> {
        let known = |head: &Head| *head.text == *row.head();
        let (before, after) = self.0.split_at(*next);
        let at = after
            .iter()
            .position(known)
            .map(|at| before.len() + at)
            .or_else(|| before.iter().position(known));
        if let Some(at) = at {
            *next = at + 1;
            return Ok(self.0[at].slot);
        }
        let (group, field) = row.name()?;
        let slot = find(wanted, group, field);
        if self.0.len() < HEADS {
            let text = row.head().into();
            self.0.insert(*next, Head { text, slot });
            *next += 1;
        }
        Ok(slot)
    }
}

#[cfg(test)]
mod tests;
