//! `/proc/<pid>/mountinfo`: the mounts of a process's mount namespace, as seen from its root.
//!
//! One line a mount (fs/proc_namespace.c, `show_mountinfo`; proc_pid_mountinfo(5)):
//!
//! ```text
//! 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//! id parent device root point options optional… - type source super-options
//! ```
//!
//! Blanks, tabs, newlines, backslashes and `#` within a field are octal escapes. All else are the
//! bytes that somebody called a folder, so nothing here is a string.

use std::borrow::Cow;

use super::{Lines, ParseError};

/// The device number of a file system, as `st_dev` has it; many mounts may share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device {
    /// Major number; 0 for a file system without a block device.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Its id, unique while it is mounted.
    pub id: u64,
    /// The id of the mount that it is mounted on; of the topmost one, an id that is not listed.
    pub parent: u64,
    /// The file system's device.
    pub device: Device,
    /// What of the file system is mounted: a path within it.
    pub root: Cow<'a, [u8]>,
    /// Where it is mounted, as seen from the process's root.
    pub point: Cow<'a, [u8]>,
    /// Options of this mount, separated by commas.
    pub options: &'a [u8],
    /// Type of the file system.
    pub fs_type: Cow<'a, [u8]>,
    /// What was mounted: a block device, a server's export, or any word; it may be empty.
    pub source: Cow<'a, [u8]>,
    /// Options of the file system, whoever mounts it, separated by commas; their values are still
    /// escaped.
    pub super_options: &'a [u8],
}

impl Mount<'_> {
    /// Whether nothing can be written through this mount.
    pub fn is_readonly(&self) -> bool {
        has_option(self.options, b"ro") || has_option(self.super_options, b"ro")
    }

    /// The value of an option of the file system (`upperdir=…`), unescaped. A comma in a value is
    /// escaped by overlayfs as `\054` or `\,`.
    pub fn super_option(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        options(self.super_options).find_map(|option| {
            let value = option.strip_prefix(name)?.strip_prefix(b"=")?;
            Some(unescape(value))
        })
    }
}

impl Mount<'_> {
    /// The folders that an overlayfs is made of, as it was told of them (fs/overlayfs/params.c).
    pub fn layers(&self) -> impl Iterator<Item = Cow<'_, [u8]>> {
        const NAMES: [&[u8]; 4] = [b"lowerdir", b"lowerdir+", b"datadir+", b"upperdir"];
        options(self.super_options)
            .filter_map(|option| {
                let at = memchr::memchr(b'=', option)?;
                NAMES.contains(&&option[..at]).then(|| &option[at + 1..])
            })
            .flat_map(|value| list(value, b':'))
            .filter(|layer| !layer.is_empty())
            .map(unescape)
    }
}

/// Whether `options` has `name`, alone or with a value.
pub fn has_option(options_text: &[u8], name: &[u8]) -> bool {
    options(options_text).any(|option| {
        option
            .strip_prefix(name)
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'=')))
    })
}

/// The options of a list; a comma behind a backslash belongs to the option.
fn options(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    list(text, b',')
}

/// What stands between separators; one behind a backslash is none.
fn list(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut escaped = false;
    text.split(move |&byte| {
        let ends = byte == separator && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// Calls `each` for every mount, in the file's order: a mount comes after the one that it is
/// mounted on.
///
/// # Errors
/// A line that has not the fields above, or a number in it that is none.
pub fn parse<'a>(text: &'a [u8], mut each: impl FnMut(Mount<'a>)) -> Result<(), ParseError> {
    let mut lines = Lines::new(text)?;
    while let Some(line) = lines.next()? {
        each(mount(line, lines.line)?);
    }
    Ok(())
}

fn mount(line: &[u8], number: usize) -> Result<Mount<'_>, ParseError> {
    let mut fields = line.split(|&byte| byte == b' ');
    let mut next = |what: &'static str| {
        fields
            .next()
            .ok_or_else(|| ParseError::mismatch(number, format!("has no {what}")))
    };
    let id = decimal(next("mount id")?, number, "mount id")?;
    let parent = decimal(next("parent id")?, number, "parent id")?;
    let device = device(next("device")?, number)?;
    let root = next("root")?;
    let point = next("mount point")?;
    let options = next("options")?;
    // Optional fields, as many as there are.
    while next("separator")? != b"-" {}
    Ok(Mount {
        id,
        parent,
        device,
        root: unescape(root),
        point: unescape(point),
        options,
        fs_type: unescape(next("file system type")?),
        source: unescape(next("source")?),
        super_options: next("options of the file system")?,
    })
}

fn device(field: &[u8], line: usize) -> Result<Device, ParseError> {
    let colon = memchr::memchr(b':', field)
        .ok_or_else(|| ParseError::not_a_number(line, "device", field))?;
    Ok(Device {
        major: decimal(&field[..colon], line, "device")?,
        minor: decimal(&field[colon + 1..], line, "device")?,
    })
}

fn decimal<T: std::str::FromStr>(
    field: &[u8],
    line: usize,
    what: &'static str,
) -> Result<T, ParseError> {
    let digits = str::from_utf8(field)
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| ParseError::not_a_number(line, what, field))
}

/// Takes back the escapes of the kernel's `mangle_path` and `seq_escape`: a backslash and three
/// octal digits. Any other backslash stays with what follows it, but for overlayfs's own `\,`,
/// `\:` and `\\`.
pub fn unescape(field: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', field) else {
        return Cow::Borrowed(field);
    };
    let mut plain = field[..first].to_vec();
    let mut rest = &field[first..];
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, used) = match (byte, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), 4)
            }
            (b'\\', [escaped @ (b',' | b':' | b'\\'), ..]) => (*escaped, 2),
            _ => (byte, 1),
        };
        plain.push(byte);
        rest = &rest[used..];
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests;
