//! What the kernel's files say of a namespace's sockets, which [`invariants`] compares with them.
//!
//! [`invariants`]: crate::tcp::invariants

use crate::metrics::{CounterFile, Counters, FileReader, Schema};
use crate::procfs::{Number, Process};
use crate::tcp::invariants::Facts;

/// Reads [`Facts`].
#[derive(Debug)]
pub struct FactReader {
    empty: Counters,
    curr_estab: Option<usize>,
    segments: [Option<usize>; 2],
    tcp: Option<usize>,
    tcp6: Option<usize>,
    readers: Vec<FileReader>,
    buffer: Vec<u8>,
}

impl FactReader {
    /// A reader of those of the three files that are among `files`.
    pub fn new(schema: &Schema, files: &[CounterFile]) -> Self {
        use CounterFile::{Snmp, Sockstat, Sockstat6};
        let wanted = files
            .iter()
            .filter(|file| [Sockstat, Sockstat6, Snmp].contains(file));
        Self {
            empty: schema.counters(),
            curr_estab: schema.slot(Snmp, "Tcp", "CurrEstab"),
            segments: ["InSegs", "OutSegs"].map(|field| schema.slot(Snmp, "Tcp", field)),
            tcp: schema.slot(Sockstat, "TCP", "inuse"),
            tcp6: schema.slot(Sockstat6, "TCP6", "inuse"),
            readers: wanted.map(|&file| schema.reader(file)).collect(),
            buffer: Vec::new(),
        }
    }

    /// What a collection's counters say.
    pub fn of(&self, counters: &Counters) -> Facts {
        let value = |slot: Option<usize>| match counters.get(slot?)? {
            Number::Unsigned(value) => Some(value),
            Number::Negative(_) => None,
        };
        let has_ipv6_file = self
            .readers
            .iter()
            .any(|reader| reader.file() == CounterFile::Sockstat6);
        // Without IPv6 there is no such file; without having looked, nothing can be said.
        let tcp6 = value(self.tcp6).or(has_ipv6_file.then_some(0));
        let [received, sent] = self.segments.map(value);
        Facts {
            curr_estab: value(self.curr_estab),
            inuse: value(self.tcp).zip(tcp6).map(|(tcp, tcp6)| tcp + tcp6),
            segments: received.zip(sent),
        }
    }

    /// What the files say now; `None` where the process is gone.
    pub fn read(&mut self, process: &Process) -> Option<Facts> {
        let mut counters = self.empty.clone();
        for reader in &mut self.readers {
            let file = reader.file();
            match process.read(file.path(), &mut self.buffer) {
                Ok(()) => reader.read(&self.buffer, &mut counters).ok()?,
                Err(_) if file == CounterFile::Sockstat6 => {}
                Err(_) => return None,
            }
        }
        Some(self.of(&counters))
    }
}
