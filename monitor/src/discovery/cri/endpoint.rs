//! Where a runtime's CRI is: parsing of `--cri.endpoint`, and the usual places.

use std::fmt;

/// Where runtimes listen unless told otherwise.
const USUAL: [&str; 4] = [
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
];

/// A Unix socket, by its absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    path: String,
}

impl Endpoint {
    /// The usual sockets: containerd's, that of k3s, CRI-O's, cri-dockerd's.
    pub fn usual() -> Vec<Self> {
        let path = |path: &str| Self {
            path: path.to_owned(),
        };
        USUAL.map(path).to_vec()
    }

    /// The socket's path.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unix://{}", self.path)
    }
}

/// A text that is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no Unix socket's absolute path, use unix:///run/containerd/containerd.sock")]
pub struct EndpointError(String);

/// Parses `unix:///path` or `/path`.
///
/// # Errors
/// Anything else: CRI is served on Unix sockets alone.
pub fn parse_endpoint(text: &str) -> Result<Endpoint, EndpointError> {
    let text = text.trim();
    let path = text.strip_prefix("unix://").unwrap_or(text);
    let is_path = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
    if !is_path {
        return Err(EndpointError(text.to_owned()));
    }
    Ok(Endpoint {
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, parse_endpoint};

    #[test]
    fn an_endpoint_is_a_path_and_prints_as_an_address() {
        for text in ["unix:///run/c.sock", "/run/c.sock", " /run/c.sock\n"] {
            let endpoint = parse_endpoint(text).unwrap();
            assert_eq!(endpoint.path(), "/run/c.sock", "{text}");
            assert_eq!(endpoint.to_string(), "unix:///run/c.sock");
        }
        for endpoint in Endpoint::usual() {
            assert_eq!(parse_endpoint(&endpoint.to_string()), Ok(endpoint));
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
            let error = parse_endpoint(text).unwrap_err().to_string();
            assert!(error.contains("unix:///"), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
