//! The format of `net/snmp6`: lines such as `Udp6InDatagrams                 \t0`.
//!
//! Source: `net/ipv6/proc.c`, `snmp6_seq_show`. `Icmp6InType…` and `Icmp6OutType…` lines come and
//! go with what a namespace has seen, so the lines of two namespaces differ; all others are the
//! same bytes but for the number, which is why [`Row`] shows what stands before it as it is: who
//! reads many namespaces can compare it with the last one's instead of splitting it.

use super::{Lines, Number, ParseError, first_word, shown};

/// Calls `visit` with the group (`Udp6`), the field (`InDatagrams`) and the value, in the file's
/// order.
///
/// # Errors
/// The file is empty or cut short, or a line is not a name and a number. What was visited before
/// the error is then not to be trusted.
pub fn parse(text: &[u8], mut visit: impl FnMut(&[u8], &[u8], Number)) -> Result<(), ParseError> {
    let mut rows = Rows::new(text)?;
    while let Some(row) = rows.next()? {
        let (group, field) = row.name()?;
        visit(group, field, row.value);
    }
    Ok(())
}

/// The lines of a file.
pub struct Rows<'a> {
    lines: Lines<'a>,
}

impl<'a> Rows<'a> {
    /// Begins at the top of `text`.
    ///
    /// # Errors
    /// The file is empty.
    pub fn new(text: &'a [u8]) -> Result<Self, ParseError> {
        Ok(Self {
            lines: Lines::new(text)?,
        })
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// The line is cut short or does not end in a number.
    #[expect(
        clippy::should_implement_trait,
        reason = "a fallible iterator: the error ends it, which Iterator does not say"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Row<'a>>, ParseError> {
        let Some(text) = self.lines.next()? else {
            return Ok(None);
        };
        let line = self.lines.line;
        let start = text.iter().rposition(|byte| matches!(byte, b' ' | b'\t'));
        let (head, value) = start.map_or((text, &[][..]), |at| text.split_at(at + 1));
        match Number::parse(value) {
            Some(value) => Ok(Some(Row { line, head, value })),
            None => Err(ParseError::not_a_number(
                line,
                shown(first_word(text)),
                value,
            )),
        }
    }
}

/// One line: a name and a number.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    line: usize,
    head: &'a [u8],
    value: Number,
}

impl<'a> Row<'a> {
    /// All that stands before the number: the name and the blanks after it.
    pub fn head(&self) -> &'a [u8] {
        self.head
    }

    /// The number.
    pub fn value(&self) -> Number {
        self.value
    }

    /// The group and the field. The group ends at the first `6`, as in every name the kernel
    /// has; a name without one has an empty group.
    ///
    /// # Errors
    /// What stands before the number is no single word.
    pub fn name(&self) -> Result<(&'a [u8], &'a [u8]), ParseError> {
        let name = first_word(self.head);
        if name.is_empty() || name != self.head.trim_ascii_end() {
            return Err(ParseError::mismatch(
                self.line,
                format!("no name before a number: {:?}", shown(self.head)),
            ));
        }
        let group = name.iter().position(|&byte| byte == b'6');
        Ok(name.split_at(group.map_or(0, |six| six + 1)))
    }
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
        parse(text, |group, field, value| {
            let name = |bytes| String::from_utf8_lossy(bytes).into_owned();
            fields.push(((name(group), name(field)), value));
        })?;
        Ok(fields)
    }

    #[test]
    fn captures_give_every_field() {
        for capture in ALL {
            let found = fields(capture.snmp6).unwrap();
            assert_eq!(
                found.len(),
                capture.snmp6.iter().filter(|&&byte| byte == b'\n').count()
            );
            let by_name: BTreeMap<_, _> = found.into_iter().collect();
            let value =
                |group: &str, field: &str| by_name.get(&(group.to_owned(), field.to_owned()));
            assert_eq!(value("Udp6", "InDatagrams"), Some(&Number::Unsigned(11)));
            assert_eq!(value("Udp6", "NoPorts"), Some(&Number::Unsigned(1)));
            assert_eq!(
                value("Udp6", "MemErrors").is_some(),
                capture.kernel != "5.10"
            );
            assert_eq!(
                value("UdpLite6", "NoPorts").is_some(),
                capture.kernel != "7.2"
            );
            assert!(value("Ip6", "InReceives").is_some());
            assert!(value("Icmp6", "InMsgs").is_some());
        }
    }

    #[test]
    fn the_group_ends_at_the_first_six() {
        let name = |line: &[u8]| fields(line).unwrap().remove(0).0;
        let pair = |group: &str, field: &str| (group.to_owned(), field.to_owned());
        assert_eq!(name(b"Icmp6OutType136 \t4\n"), pair("Icmp6", "OutType136"));
        assert_eq!(name(b"New\t4\n"), pair("", "New"));
        assert_eq!(name(b"Ip6 4\n"), pair("Ip6", ""));
    }

    #[test]
    fn errors_name_the_line_and_the_field() {
        let error = |text: &[u8]| fields(text).unwrap_err().to_string();
        assert_eq!(error(b""), "the file is empty");
        assert_eq!(error(b"Ip6InReceives \t1"), "line 1 is cut short");
        assert_eq!(error(b"Ip6InReceives \t1\nUdp"), "line 2 is cut short");
        assert_eq!(error(b"\n"), "line 1: value of  is no number: \"\"");
        assert_eq!(error(b" 1\n"), "line 1: no name before a number: \" \"");
        assert_eq!(
            error(b"Ip6InReceives\n"),
            "line 1: value of Ip6InReceives is no number: \"\""
        );
        assert_eq!(
            error(b"Ip6InReceives 1 2\n"),
            "line 1: no name before a number: \"Ip6InReceives 1 \""
        );
        assert_eq!(
            error(b"Ip6\xff \xfe\n"),
            "line 1: value of Ip6\u{fffd} is no number: \"\u{fffd}\""
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = fields(&text);
        }

        #[test]
        fn a_capture_cut_anywhere_but_at_a_line_is_an_error(cut in 0..V6_18.snmp6.len()) {
            let text = &V6_18.snmp6[..cut];
            prop_assert_eq!(fields(text).is_ok(), text.ends_with(b"\n"));
        }

        #[test]
        fn what_is_written_is_read(
            rows in prop::collection::vec(("[A-Z][a-z]{1,8}6", "[A-Za-z0-9]{1,30}", any::<u64>()), 1..20)
        ) {
            let mut text = String::new();
            let mut expected = Vec::new();
            for (group, field, value) in rows {
                text.push_str(&format!("{:<32}\t{value}\n", format!("{group}{field}")));
                expected.push(((group, field), Number::Unsigned(value)));
            }
            prop_assert_eq!(fields(text.as_bytes()).unwrap(), expected);
        }
    }
}
