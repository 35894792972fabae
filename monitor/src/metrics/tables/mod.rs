//! Every metric that the exporter publishes, one row each: name, help, type, labels, source.
//!
//! METRICS.md is made from these tables, and a test keeps it equal to them. Names are stable once
//! shipped. Values are not here: [`schema`](super::schema), [`host`](super::host) and
//! [`own`](super::own) bring them.

pub mod cadvisor;
pub mod container;
pub mod disk;
pub mod filesystem;
pub mod host;
pub mod namespace;
pub mod own;

use std::ffi::CStr;

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, but for a reset to zero.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Kind {
    /// The word of the text format's TYPE line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// One metric: a row of the tables.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name, as Prometheus sees it.
    pub name: &'static str,
    /// What it means, one sentence without a full stop.
    pub help: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Labels beside those of its scope.
    pub labels: &'static [&'static str],
    /// Where the kernel, or this exporter, has it from.
    pub source: &'static str,
}

impl Metric {
    pub(super) const fn gauge(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        source: &'static str,
    ) -> Self {
        Self {
            name,
            help,
            kind: Kind::Gauge,
            labels,
            source,
        }
    }

    pub(super) const fn counter(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        source: &'static str,
    ) -> Self {
        Self {
            name,
            help,
            kind: Kind::Counter,
            labels,
            source,
        }
    }
}

/// A counter file of a network namespace, and the collector that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CounterFile {
    /// `net/sockstat`
    Sockstat,
    /// `net/sockstat6`
    Sockstat6,
    /// `net/snmp`
    Snmp,
    /// `net/snmp6`
    Snmp6,
    /// `net/netstat`
    Netstat,
}

impl CounterFile {
    /// All of them, in the order in which they are read.
    pub const ALL: [Self; 5] = [
        Self::Sockstat,
        Self::Sockstat6,
        Self::Snmp,
        Self::Snmp6,
        Self::Netstat,
    ];

    /// The collector's name, and the file's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sockstat => "sockstat",
            Self::Sockstat6 => "sockstat6",
            Self::Snmp => "snmp",
            Self::Snmp6 => "snmp6",
            Self::Netstat => "netstat",
        }
    }

    /// The path below `/proc/<pid>`.
    pub const fn path(self) -> &'static CStr {
        match self {
            Self::Sockstat => c"net/sockstat",
            Self::Sockstat6 => c"net/sockstat6",
            Self::Snmp => c"net/snmp",
            Self::Snmp6 => c"net/snmp6",
            Self::Netstat => c"net/netstat",
        }
    }
}
