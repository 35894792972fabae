//! Labels as open-falcon's tags.
//!
//! A value that cannot be carried as it is keeps what can be, followed by `~` and a hash of the
//! whole, so that two values that differ never become one. A value that looks like that by itself
//! gets a hash too.

use std::borrow::Cow;
use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

/// Bytes of metric and tags together: what the transfer takes.
pub const MAX_BYTES: usize = 510;

/// Hexadecimal digits of a hash.
const DIGITS: usize = 16;

/// To how many bytes values are cut, tried one after the other until the tags are short enough.
const CUTS: [usize; 7] = [usize::MAX, 255, 127, 95, 63, 47, 32];

/// The tags of a series, sorted; labels without a value are left out. `None` where there are so
/// many that they cannot be made short enough.
pub fn tags<'a>(
    metric: &str,
    labels: impl Iterator<Item = (&'a str, Cow<'a, str>)>,
) -> Option<String> {
    let mut labels: Vec<_> = labels.filter(|(_, value)| !value.is_empty()).collect();
    labels.sort_unstable();
    CUTS.into_iter()
        .map(|longest| joined(&labels, longest))
        .find(|tags| metric.len() + tags.len() <= MAX_BYTES)
}

fn joined(labels: &[(&str, Cow<'_, str>)], longest: usize) -> String {
    let mut tags = String::new();
    for (name, value) in labels {
        if !tags.is_empty() {
            tags.push(',');
        }
        tags.push_str(name);
        tags.push('=');
        push_value(&mut tags, value, longest);
    }
    tags
}

fn push_value(tags: &mut String, value: &str, longest: usize) {
    if value.len() <= longest && value.chars().all(is_carried) && !has_hash(value) {
        return tags.push_str(value);
    }
    let room = longest.min(MAX_BYTES) - DIGITS - 1;
    let mut bounds = (0..=room.min(value.len())).rev();
    let cut = bounds.find(|&at| value.is_char_boundary(at)).unwrap_or(0);
    let plain = |c| if is_carried(c) { c } else { '_' };
    tags.extend(value[..cut].chars().map(plain));
    tags.push('~');
    for byte in &digest(&SHA256, value.as_bytes()).as_ref()[..DIGITS / 2] {
        // Writing to a String cannot fail.
        let _ = write!(tags, "{byte:02x}");
    }
}

/// Whether a character may stand in a tag: the transfer splits at commas and equals signs and
/// takes blanks away.
fn is_carried(c: char) -> bool {
    !(matches!(c, ',' | '=') || c.is_whitespace() || c.is_control())
}

/// Whether a value ends as one that was changed does.
fn has_hash(value: &str) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    value
        .rsplit_once('~')
        .is_some_and(|(_, hash)| hash.len() == DIGITS && hash.as_bytes().iter().all(is_digit))
}

#[cfg(test)]
mod tests;
