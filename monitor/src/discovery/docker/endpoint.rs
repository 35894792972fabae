//! Where a runtime's Docker API is: parsing of `--docker.endpoint` and `DOCKER_HOST`.

use std::fmt;
use std::path::{Path, PathBuf};

/// Docker's well-known socket.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Podman's well-known socket, for the service that runs as root.
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// The port that Docker uses for its API without TLS.
const DEFAULT_PORT: &str = "2375";

/// An address of a Docker API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
    /// HTTP without TLS, `host:port`.
    Http(String),
}

impl Endpoint {
    /// Where Docker listens unless told otherwise.
    pub fn docker() -> Self {
        Self::Unix(PathBuf::from(DOCKER_SOCKET))
    }

    /// Where Podman's compatible service listens unless told otherwise.
    pub fn podman() -> Self {
        Self::Unix(PathBuf::from(PODMAN_SOCKET))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Http(authority) => write!(formatter, "http://{authority}"),
        }
    }
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The scheme is none that this exporter speaks.
    #[error(
        "docker endpoint {endpoint:?}: scheme {scheme:?} is not supported, \
         use unix:///path, tcp://host:port or http://host:port"
    )]
    Scheme {
        /// The text.
        endpoint: String,
        /// Its scheme.
        scheme: String,
    },
    /// Neither an absolute path nor an address with a scheme.
    #[error(
        "docker endpoint {endpoint:?} is neither an absolute path nor an address, \
         use unix:///path, tcp://host:port or http://host:port"
    )]
    Form {
        /// The text.
        endpoint: String,
    },
    /// The part after the scheme is no `host` or `host:port`.
    #[error("docker endpoint {endpoint:?}: {authority:?} is not host:port")]
    Authority {
        /// The text.
        endpoint: String,
        /// The part of it that is wrong.
        authority: String,
    },
}

/// Parses `unix:///path`, `/path`, `tcp://host:port` or `http://host:port`; without a port it is
/// 2375.
///
/// # Errors
/// Anything else, TLS and SSH among it.
pub fn parse_endpoint(text: &str) -> Result<Endpoint, EndpointError> {
    let text = text.trim();
    let form = || EndpointError::Form {
        endpoint: text.to_owned(),
    };
    let (scheme, rest) = match text.split_once("://") {
        Some(parts) => parts,
        None if text.starts_with('/') => ("unix", text),
        None => return Err(form()),
    };
    match scheme {
        "unix" if Path::new(rest).is_absolute() => Ok(Endpoint::Unix(PathBuf::from(rest))),
        "unix" => Err(form()),
        "tcp" | "http" => authority(rest.strip_suffix('/').unwrap_or(rest)).ok_or_else(|| {
            EndpointError::Authority {
                endpoint: text.to_owned(),
                authority: rest.to_owned(),
            }
        }),
        _ => Err(EndpointError::Scheme {
            endpoint: text.to_owned(),
            scheme: scheme.to_owned(),
        }),
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn authority(text: &str) -> Option<Endpoint> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            let port = match port {
                "" => DEFAULT_PORT,
                _ => port.strip_prefix(':')?,
            };
            (format!("[{host}]"), port)
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, DEFAULT_PORT));
            let valid =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            if host.is_empty() || !host.bytes().all(valid) {
                return None;
            }
            (host.to_owned(), port)
        }
    };
    let port: u16 = port.parse().ok()?;
    Some(Endpoint::Http(format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, EndpointError, parse_endpoint};

    #[test]
    fn the_supported_forms() {
        let unix = Endpoint::Unix("/run/d.sock".into());
        assert_eq!(parse_endpoint("unix:///run/d.sock"), Ok(unix.clone()));
        assert_eq!(parse_endpoint(" /run/d.sock\n"), Ok(unix));
        for text in ["tcp://node:2376", "http://node:2376", "http://node:2376/"] {
            assert_eq!(
                parse_endpoint(text),
                Ok(Endpoint::Http("node:2376".into())),
                "{text}"
            );
        }
        assert_eq!(
            parse_endpoint("tcp://127.0.0.1"),
            Ok(Endpoint::Http("127.0.0.1:2375".into()))
        );
        assert_eq!(
            parse_endpoint("tcp://[::1]:99"),
            Ok(Endpoint::Http("[::1]:99".into()))
        );
        assert_eq!(
            parse_endpoint("tcp://[::1]"),
            Ok(Endpoint::Http("[::1]:2375".into()))
        );
    }

    #[test]
    fn an_endpoint_prints_as_it_is_parsed() {
        for text in ["unix:///run/d.sock", "http://node:1", "http://[::1]:2375"] {
            let endpoint = parse_endpoint(text).unwrap();
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn other_schemes_are_named() {
        for scheme in ["https", "ssh", "npipe", "fd", "UNIX", ""] {
            let text = format!("{scheme}://x");
            let error = parse_endpoint(&text).unwrap_err();
            assert!(
                matches!(&error, EndpointError::Scheme { scheme: found, .. } if found == scheme),
                "{text}"
            );
            assert!(error.to_string().contains(&text), "{error}");
        }
    }

    #[test]
    fn what_is_no_endpoint() {
        for text in [
            "",
            "docker.sock",
            "unix://docker.sock",
            "unix://",
            "host:2375",
        ] {
            assert!(
                matches!(parse_endpoint(text), Err(EndpointError::Form { .. })),
                "{text}"
            );
        }
        for text in [
            "tcp://",
            "tcp://:2375",
            "tcp://host:",
            "tcp://host:port",
            "tcp://host:65536",
            "tcp://host:1/path",
            "tcp://user@host:1",
            "tcp://[::1",
            "tcp://[::1]1",
            "tcp://[host]:1",
            "tcp://::1:1",
        ] {
            assert!(
                matches!(parse_endpoint(text), Err(EndpointError::Authority { .. })),
                "{text}"
            );
        }
    }
}
