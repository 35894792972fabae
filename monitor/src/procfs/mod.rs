//! Reading `/proc`: the file system's root, one process of it, and a parser for each format.
//!
//! Parsers are pure functions of bytes; only [`ProcFs`] and [`Process`] touch files.

pub mod cgroup;
pub mod mib;
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
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        if digits.is_empty() {
            return None;
        }
        let mut value = 0u64;
        for &digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            value = value
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))?;
        }
        if negative {
            Some(Self::Negative(0i64.checked_sub_unsigned(value)?))
        } else {
            Some(Self::Unsigned(value))
        }
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
    /// The file ends in the middle of a line.
    #[error("line {line} is cut short")]
    Truncated {
        /// Line, counted from 1.
        line: usize,
    },
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
}
