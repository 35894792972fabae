//! The format of `net/snmp` and `net/netstat`: pairs of lines, names and then values.
//!
//! ```text
//! Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens
//! Tcp: 1 200 120000 -1 56 2
//! ```
//!
//! Source: `net/ipv4/proc.c`, `snmp_seq_show` and `netstat_seq_show`; `net/mptcp/mib.c` for the
//! group that may end `netstat`. Columns differ between kernels and go by name alone. Between the
//! network namespaces of one kernel the names are the same bytes (but for `IcmpMsg`), which is
//! why [`Pair`] shows the line of names as it stands: who reads many namespaces can compare it
//! with the last one's instead of splitting it.

use super::{Lines, Number, ParseError, first_word, shown};

/// Calls `visit` with the group (`TcpExt`), the field (`ListenOverflows`) and the value, in the
/// file's order.
///
/// # Errors
/// The file is empty or cut short, names and values do not belong together (another group,
/// another number of columns, no line of values), or a value is no number. What was visited
/// before the error is then not to be trusted.
pub fn parse(text: &[u8], mut visit: impl FnMut(&[u8], &[u8], Number)) -> Result<(), ParseError> {
    let mut pairs = Pairs::new(text)?;
    while let Some(pair) = pairs.next()? {
        let fields: Vec<&[u8]> = pair.fields().collect();
        pair.values(fields.len(), |column, value| {
            visit(pair.group, fields[column], value);
        })?;
    }
    Ok(())
}

/// The pairs of lines of a file.
pub struct Pairs<'a> {
    lines: Lines<'a>,
}

impl<'a> Pairs<'a> {
    /// Begins at the top of `text`.
    ///
    /// # Errors
    /// The file is empty.
    pub fn new(text: &'a [u8]) -> Result<Self, ParseError> {
        Ok(Self {
            lines: Lines::new(text)?,
        })
    }

    /// The next pair; `None` at the end. (No `Iterator`: after an error there is nothing more to
    /// be had, and `?` says so more simply.)
    ///
    /// # Errors
    /// A line is cut short or has no group, or the second line is missing or of another group.
    #[expect(
        clippy::should_implement_trait,
        reason = "a fallible iterator: the error ends it, which Iterator does not say"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Pair<'a>>, ParseError> {
        let Some(names) = self.lines.next()? else {
            return Ok(None);
        };
        let line = self.lines.line;
        let Some(colon) = memchr::memchr(b':', names) else {
            return Err(ParseError::mismatch(
                line,
                format!("no group before a colon: {:?}", shown(names)),
            ));
        };
        let group = &names[..colon];
        let Some(second) = self.lines.next()? else {
            return Err(ParseError::mismatch(
                line + 1,
                format!("the values of {} are missing", shown(group)),
            ));
        };
        let values = second
            .strip_prefix(group)
            .and_then(|rest| rest.strip_prefix(b":"));
        let Some(values) = values else {
            return Err(ParseError::mismatch(
                line + 1,
                format!(
                    "the values of {} should stand here: {:?}",
                    shown(group),
                    shown(second)
                ),
            ));
        };
        Ok(Some(Pair {
            line,
            names,
            group,
            values,
        }))
    }
}

/// A line of names and the line of values below it.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    line: usize,
    names: &'a [u8],
    group: &'a [u8],
    values: &'a [u8],
}

impl<'a> Pair<'a> {
    /// The whole line of names, its group included, without the newline.
    pub fn names(&self) -> &'a [u8] {
        self.names
    }

    /// The group, without the colon.
    pub fn group(&self) -> &'a [u8] {
        self.group
    }

    /// The names of the columns.
    pub fn fields(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.names[self.group.len() + 1..]
            .split(|&byte| byte == b' ')
            .filter(|name| !name.is_empty())
    }

    /// Calls `visit` with each column, counted from 0, and its value.
    ///
    /// # Errors
    /// There are not exactly `columns` values, or one is no number.
    #[inline]
    pub fn values(
        &self,
        columns: usize,
        mut visit: impl FnMut(usize, Number),
    ) -> Result<(), ParseError> {
        let mut rest = self.values;
        let mut column = 0;
        loop {
            while let [b' ', tail @ ..] = rest {
                rest = tail;
            }
            if rest.is_empty() {
                break;
            }
            let Some((value, length)) = Number::prefix(rest)
                .filter(|&(_, length)| matches!(rest.get(length), None | Some(b' ')))
            else {
                return Err(self.not_a_number(column, rest));
            };
            if column == columns {
                return Err(self.other_columns(columns));
            }
            visit(column, value);
            column += 1;
            rest = &rest[length..];
        }
        if column == columns {
            Ok(())
        } else {
            Err(self.other_columns(columns))
        }
    }

    #[cold]
    fn not_a_number(&self, column: usize, rest: &[u8]) -> ParseError {
        let field = self.fields().nth(column).map_or_else(
            || format!("{} column {}", shown(self.group), column + 1),
            |field| format!("{} {}", shown(self.group), shown(field)),
        );
        ParseError::not_a_number(self.line + 1, field, first_word(rest))
    }

    #[cold]
    fn other_columns(&self, columns: usize) -> ParseError {
        let values = self
            .values
            .split(|&byte| byte == b' ')
            .filter(|value| !value.is_empty())
            .count();
        ParseError::mismatch(
            self.line + 1,
            format!(
                "{} has {columns} names and {values} values",
                shown(self.group)
            ),
        )
    }
}

#[cfg(test)]
mod tests;
