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
