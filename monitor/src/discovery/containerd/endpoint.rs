//! Where containerd is, and the usual places.

use std::fmt;

use crate::discovery::socket::Socket;

/// Where it listens unless told otherwise.
const USUAL: [&str; 2] = [
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
];

/// The services of containerd at a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Socket);

impl Endpoint {
    /// The usual sockets: its own and that of k3s.
    pub fn usual() -> Vec<Self> {
        USUAL.map(|path| Self(Socket::at(path))).to_vec()
    }

    /// Its socket.
    pub fn socket(&self) -> &Socket {
        &self.0
    }
}

impl From<Socket> for Endpoint {
    fn from(socket: Socket) -> Self {
        Self(socket)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
