//! Pods and containers of a runtime that the kubelet speaks to over the CRI: containerd, CRI-O.
//!
//! A session connects, takes the lists of sandboxes and containers, and takes them again whenever
//! containerd tells of a change, for other runtimes every two seconds. When the runtime does not
//! answer, what is known of it stays. Everything that it says of a process is checked against
//! `/proc` before it is believed.

mod client;
mod describe;
mod look_up;
mod messages;
mod pace;
mod session;

use std::convert::Infallible;
use std::fmt::Display;

use self::session::Session;
use super::follow::{Ended, Follower};
use super::socket::{Api, At};

/// The CRI, which the kubelet speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cri;

/// It at a socket.
pub type Endpoint = At<Cri>;

impl Api for Cri {
    const USUAL: &'static [&'static str] = &[
        "/run/containerd/containerd.sock",
        "/run/k3s/containerd/containerd.sock",
        "/run/crio/crio.sock",
        "/run/cri-dockerd.sock",
    ];

    async fn session(
        follower: &Follower<Endpoint>,
        on_up: impl FnOnce(&dyn Display) + Send,
    ) -> Result<Infallible, Ended> {
        Session::run(follower, on_up).await
    }
}

#[cfg(test)]
mod tests;
