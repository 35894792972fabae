//! Reading `/proc`: the file system's root, one process of it, and a parser for each format.
//!
//! Parsers are pure functions of bytes; only [`ProcFs`] and [`Process`] touch files.

#[cfg(test)]
pub(crate) mod captures;
pub mod cgroup;
pub mod mib;
pub mod mountinfo;
pub mod process;
pub mod snmp6;
pub mod sockstat;
pub mod stat;

pub use process::{ProcFs, Process};

/// A value of a kernel counter file. Most are unsigned 64-bit; a few (`MaxConn -1`) are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// A number without a sign.
    Unsigned(u64),
    /// A number that is written with a minus sign.
    Negative(i64),
}

impl Number {
    /// Parses a decimal number with an optional minus sign; `None` for anything else, also for a
    /// number that does not fit.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match Self::prefix(text) {
            Some((number, length)) if length == text.len() => Some(number),
            _ => None,
        }
    }

    /// Parses the number that `text` begins with, and says how many bytes it takes; `None` where
    /// no number begins, and for one that does not fit.
    #[inline]
    pub fn prefix(text: &[u8]) -> Option<(Self, usize)> {
        let sign = usize::from(text.first() == Some(&b'-'));
        let mut value = 0u64;
        let mut length = sign;
        while let Some(digit) = text.get(length).map(|byte| byte.wrapping_sub(b'0')) {
            if digit > 9 {
                break;
            }
            // Nineteen digits always fit: only longer numbers pay for the checks.
            value = if length < 19 {
                value * 10 + u64::from(digit)
            } else {
                value.checked_mul(10)?.checked_add(u64::from(digit))?
            };
            length += 1;
        }
        if length == sign {
            return None;
        }
        let number = if sign == 1 {
            Self::Negative(0i64.checked_sub_unsigned(value)?)
        } else {
            Self::Unsigned(value)
        };
        Some((number, length))
    }

    /// The number as Prometheus stores it; exact up to 2^53.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Unsigned(value) => value as f64,
            Self::Negative(value) => value as f64,
        }
    }
}

/// Why a file of `/proc` could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A value is no decimal number.
    #[error("line {line}: value of {field} is no number: {value:?}")]
    NotANumber {
        /// Line, counted from 1.
        line: usize,
        /// Group and field, as the file has them.
        field: String,
        /// The text found in its place.
        value: String,
    },
    /// A header line and its value line do not fit together, or one of them is missing.
    #[error("line {line}: {reason}")]
    Mismatch {
        /// Line, counted from 1.
        line: usize,
        /// What does not fit.
        reason: String,
    },
    /// The file has no content, which the kernel never shows.
    #[error("the file is empty")]
    Empty,
    /// The file ends in the middle of a line.
    #[error("line {line} is cut short")]
    Truncated {
        /// Line, counted from 1.
        line: usize,
    },
}

impl ParseError {
    fn mismatch(line: usize, reason: impl Into<String>) -> Self {
        Self::Mismatch {
            line,
            reason: reason.into(),
        }
    }

    pub(crate) fn not_a_number(line: usize, field: impl Into<String>, value: &[u8]) -> Self {
        Self::NotANumber {
            line,
            field: field.into(),
            value: shown(value),
        }
    }
}

/// Bytes of a file as an error message shows them: invalid UTF-8 replaced, long ones cut.
fn shown(bytes: &[u8]) -> String {
    const LONGEST: usize = 64;
    String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]).into_owned()
}

/// The word at the beginning of `text`, up to a blank or the end.
fn first_word(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    &text[..end.unwrap_or(text.len())]
}

/// The lines of a file, counted from 1. The kernel ends every line with a newline: a last line
/// without one is cut short.
struct Lines<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Lines<'a> {
    /// # Errors
    /// There is no text at all.
    fn new(text: &'a [u8]) -> Result<Self, ParseError> {
        if text.is_empty() {
            return Err(ParseError::Empty);
        }
        Ok(Self {
            rest: text,
            line: 0,
        })
    }

    /// The next line without its newline; `None` at the end.
    #[inline]
    fn next(&mut self) -> Result<Option<&'a [u8]>, ParseError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        let Some(end) = memchr::memchr(b'\n', self.rest) else {
            return Err(ParseError::Truncated { line: self.line });
        };
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn numbers_parse_up_to_their_limits_and_not_beyond() {
        assert_eq!(Number::parse(b"0"), Some(Number::Unsigned(0)));
        assert_eq!(
            Number::parse(b"18446744073709551615"),
            Some(Number::Unsigned(u64::MAX))
        );
        assert_eq!(Number::parse(b"18446744073709551616"), None);
        assert_eq!(Number::parse(b"-1"), Some(Number::Negative(-1)));
        assert_eq!(
            Number::parse(b"-9223372036854775808"),
            Some(Number::Negative(i64::MIN))
        );
        assert_eq!(Number::parse(b"-9223372036854775809"), None);
        for bad in [&b""[..], b"-", b"+1", b"1.0", b" 1", b"0x10", b"\xff"] {
            assert_eq!(Number::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_ends_where_the_digits_end() {
        assert_eq!(Number::prefix(b"12 3"), Some((Number::Unsigned(12), 2)));
        assert_eq!(Number::prefix(b"-12x"), Some((Number::Negative(-12), 3)));
        assert_eq!(Number::prefix(b" 12"), None);
        assert_eq!(Number::prefix(b"- 1"), None);
        assert_eq!(
            Number::parse(b"00000000000000000000001"),
            Some(Number::Unsigned(1))
        );
    }
}
