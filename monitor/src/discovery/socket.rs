//! The Unix socket of a runtime that speaks gRPC: parsing of `--cri.endpoint` and
//! `--containerd.endpoint`, and what is asked at it.

use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use super::follow::{Ended, Endpoint, Follower};

/// What is asked at a socket: a type that says so and holds nothing.
pub trait Api: Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// The paths where runtimes serve it unless told otherwise.
    const USUAL: &'static [&'static str];

    /// One connection, from the first call to the first failure. `on_up` is told who answers, once
    /// the first list is complete.
    fn session(
        follower: &Follower<At<Self>>,
        on_up: impl FnOnce(&dyn fmt::Display) + Send,
    ) -> impl Future<Output = Result<Infallible, Ended>> + Send;
}

/// An API at a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<A> {
    socket: Socket,
    api: PhantomData<A>,
}

impl<A: Api> At<A> {
    /// It at each of its usual sockets.
    pub fn usual() -> Vec<Self> {
        A::USUAL
            .iter()
            .map(|path| Socket::at(path).into())
            .collect()
    }
}

impl<A> At<A> {
    /// Its socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl<A> From<Socket> for At<A> {
    fn from(socket: Socket) -> Self {
        Self {
            socket,
            api: PhantomData,
        }
    }
}

impl<A> fmt::Display for At<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(formatter)
    }
}

impl<A: Api> Endpoint for At<A> {
    fn exists(&self) -> bool {
        self.socket.exists()
    }

    async fn session(
        follower: &Follower<Self>,
        on_up: impl FnOnce(&dyn fmt::Display) + Send,
    ) -> Ended {
        if let Err(error) = follower.endpoint.socket.check() {
            return error.into();
        }
        match A::session(follower, on_up).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }
}

/// A Unix socket, by its absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    path: String,
}

impl Socket {
    /// One of the usual ones.
    fn at(path: &str) -> Self {
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
    fn exists(&self) -> bool {
        Path::new(&self.path).exists()
    }

    /// Makes sure that what is at its path is a socket, as far as that can be told.
    fn check(&self) -> anyhow::Result<()> {
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
