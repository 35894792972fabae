//! Which of the published counters the kernel's own can fill, and where each stands: the kernel
//! numbers them by constants (`include/uapi/linux/snmp.h`), whose names follow from those that
//! the files of `/proc` show.

use std::collections::{BTreeMap, HashMap};

use monitor_ebpf::{BLOCK_WORDS, Fields, MAX_FIELDS};

use crate::ebpf::btf::Btf;
use crate::metrics::CounterFile;
use crate::metrics::schema::SlotSource;

/// A block of counters: the file and group that show it, the prefix of its constants, and its
/// place among the blocks.
const BLOCKS: [(CounterFile, &str, &str, usize); 4] = [
    (CounterFile::Snmp, "Tcp", "TCP_MIB_", 0),
    (CounterFile::Snmp, "Udp", "UDP_MIB_", 1),
    (CounterFile::Snmp6, "Udp6", "UDP_MIB_", 2),
    (CounterFile::Netstat, "TcpExt", "LINUX_MIB_", 3),
];

/// Fields whose constant is not their name in capitals (`snmp4_net_list` and its kin in
/// `net/ipv4/proc.c`).
const OTHER_NAMES: [(&str, &str); 14] = [
    ("InCsumErrors", "CSUMERRORS"),
    ("TW", "TIMEWAITED"),
    ("TWRecycled", "TIMEWAITRECYCLED"),
    ("TWKilled", "TIMEWAITKILLED"),
    ("PAWSActive", "PAWSACTIVEREJECTED"),
    ("PAWSEstab", "PAWSESTABREJECTED"),
    ("PAWSOldAck", "PAWS_OLD_ACK"),
    ("PAWSTimewait", "PAWS_TW_REJECTED"),
    ("BeyondWindow", "BEYOND_WINDOW"),
    ("TCPSackShifted", "SACKSHIFTED"),
    ("TCPSackMerged", "SACKMERGED"),
    ("TCPSackShiftFallback", "SACKSHIFTFALLBACK"),
    ("IPReversePathFilter", "IPRPFILTER"),
    ("TCPSpuriousRtxHostQueues", "TCPSPURIOUS_RTX_HOSTQUEUES"),
];

/// Where the counters of the published slots stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Slot of the schema and word of the program's buffer, for each counter.
    fields: Vec<(usize, u64)>,
    /// Slots that the kernel has no counter for, by its constants.
    missing: Vec<usize>,
}

impl Layout {
    /// Looks the counters of `slots` up. Those of `sockstat` and `sockstat6` are none.
    pub(super) fn resolve(btf: &Btf, slots: &[SlotSource]) -> Self {
        let mut wanted: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        let mut missing: BTreeMap<usize, ()> = BTreeMap::new();
        for (slot, source) in slots.iter().enumerate() {
            if matches!(source.file, CounterFile::Sockstat | CounterFile::Sockstat6) {
                continue;
            }
            missing.insert(slot, ());
            let block = BLOCKS
                .iter()
                .find(|(file, group, ..)| *file == source.file && *group == source.group);
            if let Some((.., prefix, block)) = block {
                let name = format!("{prefix}{}", constant(&source.field));
                wanted.entry(name).or_default().push((slot, *block));
            }
        }
        let mut fields = Vec::new();
        for (name, value) in btf.constants() {
            let found = str::from_utf8(name)
                .ok()
                .and_then(|name| wanted.remove(name));
            for (slot, block) in found.into_iter().flatten() {
                let fits = (value as usize) < BLOCK_WORDS[block];
                if fits && fields.len() < MAX_FIELDS {
                    let start: usize = BLOCK_WORDS[..block].iter().sum();
                    fields.push((slot, (start + value as usize) as u64));
                    missing.remove(&slot);
                }
            }
        }
        Self {
            fields,
            missing: missing.into_keys().collect(),
        }
    }

    /// The slot of each counter, in the order of the program's counters.
    pub fn slots(&self) -> impl Iterator<Item = usize> {
        self.fields.iter().map(|(slot, _)| *slot)
    }

    /// Slots that have no counter here, though a file may show one.
    pub fn missing(&self) -> &[usize] {
        &self.missing
    }

    /// What the program is told.
    pub(super) fn fields(&self) -> Fields {
        let mut words = [0; MAX_FIELDS];
        for (word, (_, at)) in words.iter_mut().zip(&self.fields) {
            *word = *at;
        }
        Fields {
            count: self.fields.len() as u64,
            words,
        }
    }
}

/// The end of a field's constant.
fn constant(field: &str) -> String {
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == field);
    match other {
        Some((_, constant)) => (*constant).to_owned(),
        None => field.to_ascii_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Schema;

    #[test]
    fn every_published_counter_is_found_and_has_its_own_place() {
        let Ok(data) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            eprintln!("skipped: this kernel has no BTF");
            return;
        };
        let schema = Schema::new();
        let layout = Layout::resolve(&Btf::parse(data).unwrap(), schema.slots());
        for &slot in layout.missing() {
            // Linux 5.12.
            assert_eq!(schema.slots()[slot].field, "MemErrors");
        }
        let mut words: Vec<u64> = layout.fields.iter().map(|(_, word)| *word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), layout.fields.len());
        assert_eq!(layout.fields().count, words.len() as u64);
        let published = |file| move |slot: &&usize| schema.slots()[**slot].file == file;
        let slots: Vec<usize> = layout.slots().collect();
        assert_eq!(
            slots
                .iter()
                .filter(published(CounterFile::Sockstat))
                .count(),
            0
        );
    }

    #[test]
    fn those_of_cadvisor_find_room_and_need_no_file() {
        let Ok(data) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            eprintln!("skipped: this kernel has no BTF");
            return;
        };
        let mut schema = Schema::new();
        schema.add_cadvisor();
        let layout = Layout::resolve(&Btf::parse(data).unwrap(), schema.slots());
        assert!(layout.fields.len() < MAX_FIELDS);
        for &slot in layout.missing() {
            let source = &schema.slots()[slot];
            let path = format!("/proc/self/net/{}", source.file.name());
            let text = std::fs::read_to_string(path).unwrap();
            let is_shown = text.split_whitespace().any(|word| word == source.field);
            assert!(!is_shown, "{}", source.field);
        }
    }

    #[test]
    fn names_lead_to_constants() {
        for (field, expected) in [
            ("ListenOverflows", "LISTENOVERFLOWS"),
            ("TCPReqQFullDoCookies", "TCPREQQFULLDOCOOKIES"),
            ("TW", "TIMEWAITED"),
            ("InCsumErrors", "CSUMERRORS"),
        ] {
            assert_eq!(constant(field), expected);
        }
    }
}
