//! Pods and containers of a runtime that the kubelet speaks to over the CRI: containerd, CRI-O.
//!
//! A session connects, takes the lists of sandboxes and containers, and takes them again whenever containerd tells of a change, for other
//! runtimes every two seconds. When the runtime does not answer, what is known of it stays.
//! Everything that it says of a process is checked against `/proc` before it is believed.

mod client;
mod describe;
mod endpoint;
mod look_up;
mod messages;
mod pace;
mod session;

use std::fmt::Display;

pub use endpoint::Endpoint;

use self::session::Session;
use super::follow::{self, Ended, Follower};

impl follow::Endpoint for Endpoint {
    fn exists(&self) -> bool {
        self.socket().exists()
    }

    async fn session(follower: &Follower<Self>, on_up: impl FnOnce(&dyn Display) + Send) -> Ended {
        if let Err(error) = follower.endpoint.socket().check() {
            return error.into();
        }
        match Session::run(follower, on_up).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }
}

#[cfg(test)]
mod tests;
