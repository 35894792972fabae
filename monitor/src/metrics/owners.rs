//! Which collector a series is of, and an exposition of some collectors alone.
//!
//! A scrape of some collectors shows a part of what all of them collected: a collection is shared
//! by the scrapes that come together, whatever they ask for.

use std::collections::{BTreeSet, HashMap};

use super::exposition::{Exposition, Family, Sample};
use super::tables::{CounterFile, Metric, cadvisor, container, disk, filesystem, host, namespace};
use super::{Kind, Schema};
use crate::collector::{CADVISOR, DISK_IO, FILESYSTEM, WRITABLE_LAYER};

/// Finding and placing containers, and what is known of them.
const DISCOVERY: &str = "discovery";

/// The host's own values.
const HOST: &str = "host";

/// The label of the exporter's own series of one collector each.
const COLLECTOR: &str = "collector";

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selection {
    /// Everything.
    All,
    /// These collectors, and what the exporter says of itself and of them.
    Only(BTreeSet<&'static str>),
}

/// Whose a family is.
#[derive(Debug)]
enum Owner {
    Collector(&'static str),
    /// By the value of a label.
    ByLabel(&'static str, HashMap<&'static str, &'static str>),
}

/// The collectors and their families.
#[derive(Debug)]
pub struct Owners {
    collectors: Vec<&'static str>,
    families: HashMap<String, Owner>,
}

impl Owners {
    /// The families of `schema` and of the tables; `collectors` are those of COLLECTORS and others
    /// that are switched on.
    pub fn new(schema: &Schema, collectors: impl IntoIterator<Item = &'static str>) -> Self {
        let mut families: HashMap<String, Owner> = schema
            .files()
            .map(|(name, file)| (name.to_owned(), Owner::Collector(file.name())))
            .collect();
        for metric in namespace::METRICS {
            let is_other = |file: CounterFile| file != metric.series[0].file;
            if metric.series.iter().any(|source| is_other(source.file)) {
                let by_value = metric.series.iter();
                let by_value = by_value.map(|source| (source.value, source.file.name()));
                let owner = Owner::ByLabel(metric.label, by_value.collect());
                families.insert(metric.name.to_owned(), owner);
            }
        }
        let of_tables = container::METRICS
            .iter()
            .map(|metric| (metric, container_collector(metric)))
            .chain(host::METRICS.iter().map(|metric| (metric, HOST)))
            .chain(
                filesystem::METRICS
                    .iter()
                    .map(|metric| (metric, FILESYSTEM)),
            )
            .chain(
                filesystem::LAYER
                    .iter()
                    .map(|metric| (metric, WRITABLE_LAYER)),
            )
            .chain(disk::METRICS.iter().map(|metric| (metric, DISK_IO)))
            .chain(cadvisor::METRICS.iter().map(|metric| (metric, CADVISOR)));
        families.extend(
            of_tables.map(|(metric, name)| (metric.name.to_owned(), Owner::Collector(name))),
        );
        Self {
            collectors: collectors.into_iter().chain([DISCOVERY, HOST]).collect(),
            families,
        }
    }

    /// The collectors that there are.
    pub fn collectors(&self) -> impl Iterator<Item = &'static str> {
        self.collectors.iter().copied()
    }

    /// The collector of a name.
    ///
    /// # Errors
    /// There is none, or it is switched off.
    pub fn collector(&self, name: &str) -> Result<&'static str, String> {
        let found = self.collectors().find(|known| *known == name);
        found.ok_or_else(|| {
            let is_known = self.families.values().any(|owner| match owner {
                Owner::Collector(known) => *known == name,
                Owner::ByLabel(_, values) => values.values().any(|known| *known == name),
            });
            let why = if is_known { "switched off" } else { "unknown" };
            format!("the collector {name:?} is {why}")
        })
    }

    /// The text format of what is selected.
    pub fn text(&self, exposition: &Exposition, selection: &Selection) -> String {
        let mut out = String::new();
        for family in exposition.families() {
            let start = out.len();
            for part in ["# HELP ", family.name, " ", family.help, "\n# TYPE "] {
                out.push_str(part);
            }
            for part in [family.name, " ", family.kind.as_str(), "\n"] {
                out.push_str(part);
            }
            if !self.samples(&family, selection, &mut out) {
                out.truncate(start);
            }
        }
        out
    }

    /// Appends the samples of a family that are selected, as they are, and says whether there are.
    pub(super) fn samples(
        &self,
        family: &Family<'_>,
        selection: &Selection,
        out: &mut String,
    ) -> bool {
        let before = out.len();
        let Selection::Only(wanted) = selection else {
            out.push_str(family.samples);
            return out.len() > before;
        };
        let is_wanted = |collector: &str| wanted.contains(collector);
        match self.families.get(family.name) {
            Some(Owner::Collector(name)) => {
                if is_wanted(name) {
                    out.push_str(family.samples);
                }
            }
            Some(Owner::ByLabel(label, values)) => push_some(family, out, |sample| {
                let owner = values.get(&*sample.label(label));
                owner.is_some_and(|owner| is_wanted(owner))
            }),
            // What the exporter says of a collector, of the others not.
            None => push_some(family, out, |sample| {
                let collector = sample.label(COLLECTOR);
                is_wanted(&collector) || !self.collectors.contains(&&*collector)
            }),
        }
        out.len() > before
    }
}

fn container_collector(metric: &Metric) -> &'static str {
    if metric.name == container::INFO.name {
        DISCOVERY
    } else if metric.kind == Kind::Counter {
        crate::collector::TRANSITIONS
    } else {
        crate::collector::TCP_STATES
    }
}

fn push_some(family: &Family<'_>, out: &mut String, wanted: impl Fn(&Sample<'_>) -> bool) {
    // Each sample is one line.
    let lines = family.samples.split_inclusive('\n');
    for (line, sample) in lines.zip(family.samples()) {
        if wanted(&sample) {
            out.push_str(line);
        }
    }
}

#[cfg(test)]
mod tests;
