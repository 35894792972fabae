//! Tests of the parent module.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::parse;
use crate::procfs::captures::{ALL, V6_18};
use crate::procfs::{Number, ParseError};

type Fields = Vec<((String, String), Number)>;

fn fields(text: &[u8]) -> Result<Fields, ParseError> {
    let mut fields = Vec::new();
    parse(text, |group, field, value| {
        let name = |bytes| String::from_utf8_lossy(bytes).into_owned();
        fields.push(((name(group), name(field)), value));
    })?;
    Ok(fields)
}

#[test]
fn captures_give_every_field() {
    for capture in ALL {
        let kernel = capture.kernel;
        let snmp: BTreeMap<_, _> = fields(capture.snmp).unwrap().into_iter().collect();
        let value = |group: &str, field: &str| snmp.get(&(group.to_owned(), field.to_owned()));
        assert_eq!(value("Tcp", "MaxConn"), Some(&Number::Negative(-1)));
        assert_eq!(value("Tcp", "ActiveOpens"), Some(&Number::Unsigned(16)));
        assert_eq!(value("Tcp", "PassiveOpens"), Some(&Number::Unsigned(14)));
        assert_eq!(value("Tcp", "CurrEstab"), Some(&Number::Unsigned(10)));
        assert_eq!(value("Udp", "InDatagrams"), Some(&Number::Unsigned(11)));
        assert_eq!(value("Udp", "MemErrors").is_some(), kernel != "5.10");
        assert_eq!(value("UdpLite", "NoPorts").is_some(), kernel != "7.2");

        let netstat: BTreeMap<_, _> = fields(capture.netstat).unwrap().into_iter().collect();
        let value = |group: &str, field: &str| netstat.get(&(group.to_owned(), field.to_owned()));
        assert_eq!(
            value("TcpExt", "ListenOverflows"),
            Some(&Number::Unsigned(0))
        );
        assert_eq!(value("TcpExt", "TCPDelivered"), Some(&Number::Unsigned(56)));
        assert!(value("IpExt", "InOctets").is_some());
        assert_eq!(
            value("MPTcpExt", "MPCapableSYNRX").is_some(),
            kernel != "5.10"
        );
    }
}

#[test]
fn columns_go_by_name_whatever_their_order() {
    assert_eq!(
        fields(b"Tcp: B A\nTcp: 18446744073709551615 -2\nNew:\nNew:\n").unwrap(),
        [
            (("Tcp".into(), "B".into()), Number::Unsigned(u64::MAX)),
            (("Tcp".into(), "A".into()), Number::Negative(-2)),
        ]
    );
}

#[test]
fn errors_name_the_line_and_what_does_not_fit() {
    let error = |text: &[u8]| fields(text).unwrap_err().to_string();
    assert_eq!(error(b""), "the file is empty");
    assert_eq!(error(b"Tcp: A"), "line 1 is cut short");
    assert_eq!(error(b"Tcp: A\nTcp: 1"), "line 2 is cut short");
    assert_eq!(error(b"Tcp: A\n"), "line 2: the values of Tcp are missing");
    assert_eq!(error(b"\n\n"), "line 1: no group before a colon: \"\"");
    assert_eq!(
        error(b"Tcp A\n"),
        "line 1: no group before a colon: \"Tcp A\""
    );
    assert_eq!(
        error(b"Tcp: A\nUdp: 1\n"),
        "line 2: the values of Tcp should stand here: \"Udp: 1\""
    );
    assert_eq!(
        error(b"Tcp: A\nTcpExt: 1\n"),
        "line 2: the values of Tcp should stand here: \"TcpExt: 1\""
    );
    assert_eq!(
        error(b"Tcp: A B\nTcp: 1\n"),
        "line 2: Tcp has 2 names and 1 values"
    );
    assert_eq!(
        error(b"Tcp: A\nTcp: 1 2 3\n"),
        "line 2: Tcp has 1 names and 3 values"
    );
    assert_eq!(
        error(b"Ip: A\nIp: 1\nTcp: A B\nTcp: 1 x2\n"),
        "line 4: value of Tcp B is no number: \"x2\""
    );
    assert_eq!(
        error(b"T\xff: \xfe\nT\xff: \xfd\n"),
        "line 2: value of T\u{fffd} \u{fffd} is no number: \"\u{fffd}\""
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = fields(&text);
    }

    #[test]
    fn no_colons_and_blanks_make_it_panic(text in "[A: 1\n-]{0,60}") {
        let _ = fields(text.as_bytes());
    }

    #[test]
    fn a_capture_cut_anywhere_but_after_a_pair_is_an_error(cut in 0..V6_18.netstat.len()) {
        let text = &V6_18.netstat[..cut];
        let lines = text.iter().filter(|&&byte| byte == b'\n').count();
        let whole = text.ends_with(b"\n") && lines % 2 == 0;
        prop_assert_eq!(fields(text).is_ok(), whole);
    }

    #[test]
    fn what_is_written_is_read(
        groups in prop::collection::vec(
            ("[A-Za-z0-9]{1,9}", prop::collection::vec(("[A-Za-z0-9]{1,20}", any::<u64>()), 0..9)),
            1..6,
        )
    ) {
        let mut text = String::new();
        let mut expected = Vec::new();
        for (group, columns) in groups {
            let names: String = columns.iter().map(|(name, _)| format!(" {name}")).collect();
            let values: String = columns.iter().map(|(_, value)| format!(" {value}")).collect();
            text.push_str(&format!("{group}:{names}\n{group}:{values}\n"));
            expected.extend(
                columns
                    .into_iter()
                    .map(|(name, value)| ((group.clone(), name), Number::Unsigned(value))),
            );
        }
        prop_assert_eq!(fields(text.as_bytes()).unwrap(), expected);
    }
}
