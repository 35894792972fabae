//! The formats of `net/sockstat` and `net/sockstat6`: lines such as
//! `TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 420`.
//!
//! Source: `net/ipv4/proc.c`, `sockstat_seq_show`, and `net/ipv6/proc.c`, `sockstat6_seq_show`.
//! Which fields mean what stands in the metric tables; here every line and key is passed on, so
//! that a line which another kernel adds or lacks is nothing special.

use super::{Lines, Number, ParseError, first_word, shown};

/// Calls `visit` with the line's name (`TCP`), the key (`inuse`) and the value, in the file's
/// order.
///
/// # Errors
/// The file is empty or cut short, a line has no name, or a key has no number. What was visited
/// before the error is then not to be trusted.
#[inline]
pub fn parse(text: &[u8], mut visit: impl FnMut(&[u8], &[u8], Number)) -> Result<(), ParseError> {
    let mut lines = Lines::new(text)?;
    while let Some(line) = lines.next()? {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return Err(ParseError::mismatch(
                lines.line,
                format!("no name before a colon: {:?}", shown(line)),
            ));
        };
        let name = &line[..colon];
        let mut rest = line[colon + 1..].trim_ascii_start();
        while !rest.is_empty() {
            let key = first_word(rest);
            rest = rest[key.len()..].trim_ascii_start();
            let Some((value, length)) = Number::prefix(rest)
                .filter(|&(_, length)| matches!(rest.get(length), None | Some(b' ' | b'\t')))
            else {
                return Err(ParseError::not_a_number(
                    lines.line,
                    format!("{} {}", shown(name), shown(key)),
                    first_word(rest),
                ));
            };
            visit(name, key, value);
            rest = rest[length..].trim_ascii_start();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::parse;
    use crate::procfs::captures::{ALL, V6_18};
    use crate::procfs::{Number, ParseError};

    type Fields = Vec<((String, String), Number)>;

    fn fields(text: &[u8]) -> Result<Fields, ParseError> {
        let mut fields = Vec::new();
        parse(text, |line, key, value| {
            let name = |bytes| String::from_utf8_lossy(bytes).into_owned();
            fields.push(((name(line), name(key)), value));
        })?;
        Ok(fields)
    }

    fn flat(text: &[u8]) -> String {
        fields(text)
            .unwrap()
            .iter()
            .map(|((line, key), value)| format!("{line}.{key}={} ", value.as_f64()))
            .collect()
    }

    #[test]
    fn captures_give_every_field() {
        assert_eq!(
            flat(V6_18.sockstat),
            "sockets.used=18 TCP.inuse=6 TCP.orphan=0 TCP.tw=8 TCP.alloc=15 TCP.mem=398 \
             UDP.inuse=2 UDP.mem=0 UDPLITE.inuse=0 RAW.inuse=0 FRAG.inuse=0 FRAG.memory=0 "
        );
        assert_eq!(
            flat(V6_18.sockstat6),
            "TCP6.inuse=6 UDP6.inuse=2 UDPLITE6.inuse=0 RAW6.inuse=0 FRAG6.inuse=0 FRAG6.memory=0 "
        );
        for capture in ALL {
            let udplite = fields(capture.sockstat)
                .unwrap()
                .iter()
                .any(|((line, _), _)| line == "UDPLITE");
            assert_eq!(udplite, capture.kernel != "7.2", "{}", capture.kernel);
            let six: BTreeMap<_, _> = fields(capture.sockstat6).unwrap().into_iter().collect();
            let key = ("TCP6".to_owned(), "inuse".to_owned());
            assert_eq!(six[&key], Number::Unsigned(6), "{}", capture.kernel);
        }
    }

    #[test]
    fn unknown_lines_and_keys_are_passed_on() {
        assert_eq!(
            flat(b"QUIC: inuse 4\nTCP: new 7 inuse 1\n"),
            "QUIC.inuse=4 TCP.new=7 TCP.inuse=1 "
        );
        assert_eq!(flat(b"TCP:\n"), "");
        assert_eq!(flat(b"TCP: inuse -1\n"), "TCP.inuse=-1 ");
    }

    #[test]
    fn errors_name_the_line_and_the_field() {
        let error = |text: &[u8]| fields(text).unwrap_err().to_string();
        assert_eq!(error(b""), "the file is empty");
        assert_eq!(error(b"TCP: inuse 1"), "line 1 is cut short");
        assert_eq!(error(b"sockets: used 1\nTCP: in"), "line 2 is cut short");
        assert_eq!(error(b"\n"), "line 1: no name before a colon: \"\"");
        assert_eq!(error(b"a 1\n"), "line 1: no name before a colon: \"a 1\"");
        assert_eq!(
            error(b"sockets: used 1\nTCP: inuse one\n"),
            "line 2: value of TCP inuse is no number: \"one\""
        );
        assert_eq!(
            error(b"TCP: inuse\n"),
            "line 1: value of TCP inuse is no number: \"\""
        );
        assert_eq!(
            error(b"TCP: inuse 1x\n"),
            "line 1: value of TCP inuse is no number: \"1x\""
        );
        assert_eq!(
            error(b"T\xff: in\xfe \xfd\n"),
            "line 1: value of T\u{fffd} in\u{fffd} is no number: \"\u{fffd}\""
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = fields(&text);
        }

        #[test]
        fn a_capture_cut_anywhere_but_at_a_line_is_an_error(cut in 0..V6_18.sockstat.len()) {
            let text = &V6_18.sockstat[..cut];
            prop_assert_eq!(fields(text).is_ok(), text.ends_with(b"\n"));
        }

        #[test]
        fn what_is_written_is_read(
            lines in prop::collection::vec(
                ("[A-Za-z0-9]{1,9}", prop::collection::vec(("[a-z]{1,8}", any::<u64>()), 0..5)),
                1..6,
            )
        ) {
            let mut text = String::new();
            let mut expected = Vec::new();
            for (line, pairs) in lines {
                text.push_str(&line);
                text.push(':');
                for (key, value) in pairs {
                    text.push_str(&format!(" {key} {value}"));
                    expected.push(((line.clone(), key), Number::Unsigned(value)));
                }
                text.push('\n');
            }
            prop_assert_eq!(fields(text.as_bytes()).unwrap(), expected);
        }
    }
}
