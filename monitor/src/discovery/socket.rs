//! The Unix socket of a runtime that speaks gRPC: parsing of `--cri.endpoint` and
//! `--containerd.endpoint`.

use std::fmt;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// A Unix socket, by its absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    path: String,
}

impl Socket {
    /// One of the usual ones.
    pub(super) fn at(path: &str) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Parses `unix:///path` or `/path`.
    ///
    /// # Errors
    /// Anything else: these services are served on Unix sockets alone.
    pub fn parse(text: &str) -> Result<Self, SocketError> {
        let text = text.trim();
        let path = text.strip_prefix("unix://").unwrap_or(text);
        let is_path = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
        if !is_path {
            return Err(SocketError(text.to_owned()));
        }
        Ok(Self::at(path))
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether something is at its path. A socket that is not there is no failure where it is only
    /// looked for; anything else in its place is.
    pub(super) fn exists(&self) -> bool {
        Path::new(&self.path).exists()
    }

    /// Makes sure that what is at its path is a socket, as far as that can be told.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let path = &self.path;
        let found = std::fs::metadata(path);
        anyhow::ensure!(
            !found.is_ok_and(|found| !found.file_type().is_socket()),
            "{path} is no socket"
        );
        Ok(())
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unix://{}", self.path)
    }
}

/// A text that is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no Unix socket's absolute path, use unix:///run/containerd/containerd.sock")]
pub struct SocketError(String);

#[cfg(test)]
mod tests {
    use super::Socket;

    #[test]
    fn an_endpoint_is_a_path_and_prints_as_an_address() {
        for text in ["unix:///run/c.sock", "/run/c.sock", " /run/c.sock\n"] {
            let socket = Socket::parse(text).unwrap();
            assert_eq!(socket.path(), "/run/c.sock", "{text}");
            assert_eq!(socket.to_string(), "unix:///run/c.sock");
        }
    }

    #[test]
    fn what_is_no_endpoint() {
        for text in [
            "",
            "/",
            "containerd.sock",
            "unix://containerd.sock",
            "unix://",
            "unix:/run/c.sock",
            "/run/containerd/",
            "tcp://127.0.0.1:1",
            "npipe:////./pipe/x",
            "/a\0b",
        ] {
            let error = Socket::parse(text).unwrap_err().to_string();
            assert!(error.contains("unix:///"), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
