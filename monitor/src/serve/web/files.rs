//! The files that a configuration was made of, and whether they have changed since.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The most that is read of a file; a bundle of all public authorities has 200 kB.
const LARGEST: u64 = 4 << 20;

/// What was read, each file with a hash of its content: no key is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Files(Vec<(PathBuf, u64)>);

impl Files {
    /// Reads a file and remembers it, also when it cannot be read.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let content = content(path);
        self.0.push((path.to_owned(), fingerprint(&content)));
        content
    }

    /// Whether one has another content now than when it was read.
    pub(super) fn have_changed(&self) -> bool {
        let now = |path| fingerprint(&content(path));
        self.0.iter().any(|(path, then)| now(path) != *then)
    }
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a FIFO would wait for somebody who writes.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut content = Vec::new();
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::other(format!(
            "it is larger than {LARGEST} bytes"
        )));
    }
    Ok(content)
}

fn fingerprint(content: &io::Result<Vec<u8>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.as_ref().map_err(io::Error::kind).hash(&mut hasher);
    hasher.finish()
}
