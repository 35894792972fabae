//! Where a runtime's CRI is, and the usual places.

use std::fmt;

use crate::discovery::socket::Socket;

/// Where runtimes listen unless told otherwise.
const USUAL: [&str; 4] = [
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
];

/// The CRI at a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Socket);

impl Endpoint {
    /// The usual sockets: containerd's, that of k3s, CRI-O's, cri-dockerd's.
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
