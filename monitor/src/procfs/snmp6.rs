//! The format of `net/snmp6`: lines such as `Udp6InDatagrams                 \t0`.
//!
//! Source: `net/ipv6/proc.c`, `snmp6_seq_show`. `Icmp6InType…` and `Icmp6OutType…` lines come and
//! go with what a namespace has seen, so the lines of two namespaces differ.

use super::{Lines, Number, ParseError, first_word, shown};

/// Calls `visit` with the group (`Udp6`), the field (`InDatagrams`) and the value, in the file's
/// order. The group ends at the first `6`, as in every name the kernel has; a name without one
/// has an empty group.
///
/// # Errors
/// The file is empty or cut short, or a line is not a name and a number. What was visited before
/// the error is then not to be trusted.
#[inline]
pub fn parse(text: &[u8], mut visit: impl FnMut(&[u8], &[u8], Number)) -> Result<(), ParseError> {
    let mut lines = Lines::new(text)?;
    while let Some(line) = lines.next()? {
        let name = first_word(line);
        if name.is_empty() {
            return Err(ParseError::mismatch(
                lines.line,
                format!("no name: {:?}", shown(line)),
            ));
        }
        let value = line[name.len()..].trim_ascii();
        let Some(number) = Number::parse(value) else {
            return Err(ParseError::not_a_number(lines.line, shown(name), value));
        };
        let group = name
            .iter()
            .position(|&byte| byte == b'6')
            .map_or(0, |six| six + 1);
        visit(&name[..group], &name[group..], number);
    }
    Ok(())
}
