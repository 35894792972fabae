//! Which counters of a network namespace are published, and where each one's value goes.
//!
//! A [`Schema`] is made once, from the tables and from `--collector.netstat.fields`; it gives
//! every series a slot. Whoever reads the counters fills [`Counters`] by these slots, whether from
//! files ([`reader`](super::reader)) or from elsewhere ([`Schema::slot`]).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use regex_lite::Regex;

use super::encoder::{Encoder, header};
use super::labels::{Labels, Tail};
use super::names;
use super::reader::FileReader;
use super::tables::cadvisor::ADVANCED;
use super::tables::namespace::METRICS;
use super::tables::{CounterFile, Kind};
use crate::procfs::{Number, ParseError, mib, snmp6};

/// The counters of one network namespace, one slot for each series of the [`Schema`]. A counter
/// that this kernel does not have, or that could not be read, is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters(Box<[Option<Number>]>);

impl Counters {
    /// The value in a slot of the schema it was made by.
    pub fn get(&self, slot: usize) -> Option<Number> {
        self.0[slot]
    }

    /// Puts a value into a slot of the schema it was made by.
    pub fn set(&mut self, slot: usize, value: Option<Number>) {
        self.0[slot] = value;
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.0.iter().flatten().count() as u64
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.0.fill(None);
    }
}

/// Where the value of one slot comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotSource {
    /// The file.
    pub file: CounterFile,
    /// The line or group in it.
    pub group: Cow<'static, str>,
    /// The key or column.
    pub field: Cow<'static, str>,
    /// The type of its family.
    pub kind: Kind,
}

#[derive(Debug)]
struct Family {
    name: Cow<'static, str>,
    header: String,
    series: Vec<(usize, Tail)>,
}

/// The host's own files, which say what fields this kernel has.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostFiles<'a> {
    /// `net/snmp`
    pub snmp: &'a [u8],
    /// `net/snmp6`; empty where there is no IPv6.
    pub snmp6: &'a [u8],
    /// `net/netstat`
    pub netstat: &'a [u8],
}

/// The published counters of a network namespace: families, series, slots.
#[derive(Debug, Default)]
pub struct Schema {
    families: Vec<Family>,
    slots: Vec<SlotSource>,
    by_source: HashMap<(CounterFile, Cow<'static, str>, Cow<'static, str>), usize>,
}

impl Schema {
    /// The counters of the tables.
    pub fn new() -> Self {
        let mut schema = Self::default();
        for metric in METRICS {
            let series = metric
                .series
                .iter()
                .map(|source| {
                    let tail = if metric.label.is_empty() {
                        Tail::NONE
                    } else {
                        Tail::label(metric.label, source.value)
                    };
                    let slot = schema.add_slot(SlotSource {
                        file: source.file,
                        group: source.group.into(),
                        field: source.field.into(),
                        kind: metric.kind,
                    });
                    (slot, tail)
                })
                .collect();
            schema.families.push(Family {
                name: metric.name.into(),
                header: header(metric.name, metric.help, metric.kind),
                series,
            });
        }
        schema
    }

    /// The counters of the tables, and those fields of the host's files besides whose
    /// `Group_Field` (`TcpExt_TCPFastOpenActive`, `Udp6_InCsumErrors`) `more` matches. An empty
    /// file has no fields.
    ///
    /// # Errors
    /// One of the files is not understood.
    pub fn with_more(more: &Regex, host: &HostFiles<'_>) -> Result<Self, ParseError> {
        let mut schema = Self::new();
        let mut fields = Vec::new();
        for (file, text) in [
            (CounterFile::Snmp, host.snmp),
            (CounterFile::Snmp6, host.snmp6),
            (CounterFile::Netstat, host.netstat),
        ] {
            let mut note = |group: &[u8], field: &[u8], _: Number| {
                // What is no UTF-8 is no name of a metric either.
                if let (Ok(group), Ok(field)) = (str::from_utf8(group), str::from_utf8(field)) {
                    fields.push((file, group.to_owned(), field.to_owned()));
                }
            };
            match file {
                _ if text.is_empty() => {}
                CounterFile::Snmp6 => snmp6::parse(text, &mut note)?,
                _ => mib::parse(text, &mut note)?,
            }
        }
        let mut taken: HashSet<String> = METRICS.iter().map(|m| m.name.to_owned()).collect();
        for (file, group, field) in fields {
            if schema.slot(file, &group, &field).is_none()
                && more.is_match(&format!("{group}_{field}"))
                && let Some(name) = names::metric_name(&group, &field)
                && taken.insert(name.clone())
            {
                schema.add_field(file, group, field, name);
            }
        }
        Ok(schema)
    }

    fn add_field(&mut self, file: CounterFile, group: String, field: String, name: String) {
        let kind = names::kind(&group, &field);
        let help = format!("Kernel field {group} {field} of /proc/net/{}", file.name());
        let slot = self.add_slot(SlotSource {
            file,
            group: group.into(),
            field: field.into(),
            kind,
        });
        self.families.push(Family {
            header: header(&name, &help, kind),
            name: name.into(),
            series: vec![(slot, Tail::NONE)],
        });
    }

    /// Gives slots to the fields that only the names of cAdvisor show, and that have none yet: they
    /// are read, and are in no family of the schema's own.
    pub fn add_cadvisor(&mut self) {
        for (file, group, fields) in ADVANCED {
            for field in fields {
                if self.slot(file, group, field).is_none() {
                    self.add_slot(SlotSource {
                        file,
                        group: group.into(),
                        field: (*field).into(),
                        kind: names::kind(group, field),
                    });
                }
            }
        }
    }

    fn add_slot(&mut self, source: SlotSource) -> usize {
        let slot = self.slots.len();
        let key = (source.file, source.group.clone(), source.field.clone());
        self.by_source.insert(key, slot);
        self.slots.push(source);
        slot
    }

    /// Where each slot's value comes from, by slot.
    pub fn slots(&self) -> &[SlotSource] {
        &self.slots
    }

    /// The slot of a field, where it is read.
    pub fn slot(&self, file: CounterFile, group: &str, field: &str) -> Option<usize> {
        self.by_source
            .get(&(file, group.to_owned().into(), field.to_owned().into()))
            .copied()
    }

    /// The names of the families, in the order of the output.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.families.iter().map(|family| &*family.name)
    }

    /// The names of the families, each with the file of its first series.
    pub fn files(&self) -> impl Iterator<Item = (&str, CounterFile)> {
        self.families.iter().filter_map(|family| {
            let (slot, _) = family.series.first()?;
            Some((&*family.name, self.slots[*slot].file))
        })
    }

    /// Counters with every slot empty.
    pub fn counters(&self) -> Counters {
        Counters(vec![None; self.slots.len()].into_boxed_slice())
    }

    /// A reader of `file` that fills this schema's slots. Each thread that reads has its own.
    pub fn reader(&self, file: CounterFile) -> FileReader {
        FileReader::new(file, &self.slots)
    }

    /// A reader of each file, in the order of [`CounterFile::ALL`].
    pub fn readers(&self) -> [FileReader; 5] {
        CounterFile::ALL.map(|file| self.reader(file))
    }

    /// Writes every family, in each the rows that have a value for it.
    pub(super) fn encode(&self, rows: &[NamespaceRow<'_>], encoder: &mut Encoder<'_>) {
        for family in &self.families {
            let mut out = encoder.prepared_family(&family.name, &family.header);
            for row in rows {
                for (slot, tail) in &family.series {
                    if let Some(value) = row.counters.get(*slot) {
                        out.sample(row.labels, tail, value);
                    }
                }
            }
        }
    }
}

/// One network namespace: whom its counters are published under, and the counters.
#[derive(Clone, Copy, Debug)]
pub struct NamespaceRow<'a> {
    /// The identity labels of its owner.
    pub labels: &'a Labels,
    /// Its counters, made by the schema they are rendered with.
    pub counters: &'a Counters,
}

#[cfg(test)]
mod tests;
