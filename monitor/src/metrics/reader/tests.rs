//! Tests of the parent module.

use proptest::prelude::*;
use regex_lite::Regex;

use super::{FileReader, HEADS};
use crate::metrics::schema::{Counters, HostFiles, Schema};
use crate::metrics::tables::CounterFile;
use crate::procfs::captures::{ALL, Capture, V6_18};
use crate::procfs::{Number, ParseError, mib, snmp6, sockstat};

fn text(capture: &Capture, file: CounterFile) -> &'static [u8] {
    match file {
        CounterFile::Sockstat => capture.sockstat,
        CounterFile::Sockstat6 => capture.sockstat6,
        CounterFile::Snmp => capture.snmp,
        CounterFile::Snmp6 => capture.snmp6,
        CounterFile::Netstat => capture.netstat,
    }
}

fn everything() -> Schema {
    let host = HostFiles {
        snmp: V6_18.snmp,
        snmp6: V6_18.snmp6,
        netstat: V6_18.netstat,
    };
    Schema::with_more(&Regex::new("").unwrap(), &host).unwrap()
}

/// The plain way: no memory, every name looked up.
fn plainly(schema: &Schema, file: CounterFile, text: &[u8]) -> Result<Counters, ParseError> {
    let mut counters = schema.counters();
    let visit = |group: &[u8], field: &[u8], value: Number| {
        let (Ok(group), Ok(field)) = (str::from_utf8(group), str::from_utf8(field)) else {
            return;
        };
        if let Some(slot) = schema.slot(file, group, field) {
            counters.set(slot, Some(value));
        }
    };
    match file {
        CounterFile::Sockstat | CounterFile::Sockstat6 => sockstat::parse(text, visit)?,
        CounterFile::Snmp6 => snmp6::parse(text, visit)?,
        CounterFile::Snmp | CounterFile::Netstat => mib::parse(text, visit)?,
    }
    Ok(counters)
}

#[test]
fn kernels_in_turn_are_read_as_the_plain_parser_reads_them() {
    let schema = everything();
    for mut reader in schema.readers() {
        for round in [0, 4, 3, 3, 1, 2, 4, 4, 0] {
            let text = text(&ALL[round], reader.file());
            let mut counters = schema.counters();
            reader.read(text, &mut counters).unwrap();
            assert_eq!(counters, plainly(&schema, reader.file(), text).unwrap());
        }
    }
}

#[test]
fn what_the_next_file_lacks_is_none_again() {
    let schema = Schema::new();
    let slot = schema.slot(CounterFile::Snmp, "Udp", "MemErrors").unwrap();
    let mut reader = schema.reader(CounterFile::Snmp);
    let mut counters = schema.counters();
    reader.read(V6_18.snmp, &mut counters).unwrap();
    assert_eq!(counters.get(slot), Some(Number::Unsigned(0)));
    reader.read(ALL[0].snmp, &mut counters).unwrap();
    assert_eq!(counters.get(slot), None);
}

#[test]
fn an_error_leaves_the_file_empty_and_the_other_files_alone() {
    let schema = Schema::new();
    let mut counters = schema.counters();
    let mut readers = schema.readers();
    for reader in &mut readers {
        let text = text(&V6_18, reader.file());
        reader.read(text, &mut counters).unwrap();
    }
    for reader in &mut readers {
        let before = counters.clone();
        let text = text(&V6_18, reader.file());
        reader
            .read(&text[..text.len() - 1], &mut counters)
            .unwrap_err();
        for (slot, source) in schema.slots().iter().enumerate() {
            let expected = match source.file == reader.file() {
                true => None,
                false => before.get(slot),
            };
            assert_eq!(counters.get(slot), expected, "{source:?}");
        }
        reader.read(text, &mut counters).unwrap();
        assert_eq!(counters, before);
    }
}

#[test]
fn a_gauge_below_zero_is_none_and_a_counter_may_be_large() {
    let schema = Schema::new();
    let mut counters = schema.counters();
    let text = b"Tcp: CurrEstab InSegs\nTcp: 18446744073709551615 18446744073709551615\n";
    schema
        .reader(CounterFile::Snmp)
        .read(text, &mut counters)
        .unwrap();
    let value = |field| counters.get(schema.slot(CounterFile::Snmp, "Tcp", field).unwrap());
    assert_eq!(value("CurrEstab"), None);
    assert_eq!(value("InSegs"), Some(Number::Unsigned(u64::MAX)));
}

#[test]
fn what_is_learned_stays_bounded() {
    let schema = Schema::new();
    let mut counters = schema.counters();
    let mut read = |reader: &mut FileReader, text: &str| {
        reader.read(text.as_bytes(), &mut counters).unwrap();
    };
    let mut lines = schema.reader(CounterFile::Snmp6);
    let mut pairs = schema.reader(CounterFile::Snmp);
    for round in 0..3 * HEADS {
        read(&mut lines, &format!("Ip6New{round} 1\n"));
        read(&mut pairs, &format!("New{round}: A\nNew{round}: 1\n"));
    }
    assert_eq!(lines.heads.0.len(), HEADS);
    assert!(pairs.headers.len() <= super::HEADERS);
    lines.read(V6_18.snmp6, &mut counters).unwrap();
    assert_eq!(
        counters,
        plainly(&schema, CounterFile::Snmp6, V6_18.snmp6).unwrap()
    );
}

/// A file that the format allows, of names that are published and some that are not.
fn file() -> impl Strategy<Value = (CounterFile, Vec<String>)> {
    let sockstat = prop::collection::vec(
        (
            "(sockets|TCP|UDP|RAW|NEW)",
            prop::collection::vec(("(inuse|tw|used|new)", 0..99u64), 0..4),
        ),
        1..6,
    )
    .prop_map(|lines| {
        lines
            .into_iter()
            .map(|(line, pairs)| {
                let pairs: String = pairs.iter().map(|(k, v)| format!(" {k} {v}")).collect();
                format!("{line}:{pairs}\n")
            })
            .collect::<String>()
    });
    let snmp6 = prop::collection::vec(
        ("(Udp6In|Udp6No|Icmp6)(Errors|Ports|Datagrams)", 0..99u64),
        1..9,
    )
    .prop_map(|rows| {
        rows.iter()
            .map(|(n, v)| format!("{n} \t{v}\n"))
            .collect::<String>()
    });
    let snmp = prop::collection::vec(
        (
            "(Tcp|Udp|New)",
            prop::collection::vec(("(InSegs|OutSegs|NoPorts|New)", 0..99u64), 0..5),
        ),
        1..5,
    )
    .prop_map(|groups| {
        groups
            .into_iter()
            .map(|(group, columns)| {
                let names: String = columns.iter().map(|(n, _)| format!(" {n}")).collect();
                let values: String = columns.iter().map(|(_, v)| format!(" {v}")).collect();
                format!("{group}:{names}\n{group}:{values}\n")
            })
            .collect::<String>()
    });
    prop_oneof![
        prop::collection::vec(sockstat, 1..5).prop_map(|t| (CounterFile::Sockstat, t)),
        prop::collection::vec(snmp6, 1..5).prop_map(|t| (CounterFile::Snmp6, t)),
        prop::collection::vec(snmp, 1..5).prop_map(|t| (CounterFile::Snmp, t)),
    ]
}

proptest! {
    #[test]
    fn any_files_in_turn_are_read_as_the_plain_parser_reads_them((file, texts) in file()) {
        let schema = Schema::new();
        let mut reader = schema.reader(file);
        let mut counters = schema.counters();
        for text in texts {
            reader.read(text.as_bytes(), &mut counters).unwrap();
            prop_assert_eq!(&counters, &plainly(&schema, file, text.as_bytes()).unwrap());
        }
    }

    #[test]
    fn a_damaged_capture_is_read_as_the_plain_parser_reads_it(
        which in 0..5usize, kernel in 0..5usize, at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let schema = Schema::new();
        let file = CounterFile::ALL[which];
        let mut reader = schema.reader(file);
        let mut counters = schema.counters();
        let whole = text(&ALL[kernel], file);
        reader.read(whole, &mut counters).unwrap();
        let mut damaged = whole.to_vec();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        let result = reader.read(&damaged, &mut counters);
        match plainly(&schema, file, &damaged) {
            Ok(expected) => {
                prop_assert_eq!(result, Ok(()));
                prop_assert_eq!(&counters, &expected);
            }
            Err(error) => {
                prop_assert_eq!(result, Err(error));
                prop_assert_eq!(&counters, &schema.counters());
            }
        }
        reader.read(whole, &mut counters).unwrap();
        prop_assert_eq!(&counters, &plainly(&schema, file, whole).unwrap());
    }
}
