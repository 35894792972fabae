//! What containerd runs without the CRI: containers of nerdctl, of `ctr` and of whatever else asks
//! it directly, in all of its namespaces.
//!
//! A session lists the containers of every namespace, looks up those that no other source has, and
//! follows containerd's events. Pods (in `k8s.io`) and Docker's containers (in `moby`) are left to
//! the CRI and to Docker where these have them; what they do not have is taken, so that a container
//! is counted once whoever knows it. `ctr` and its like choose ids as they please, and the same one
//! in two namespaces: within a session containers go by `namespace/id`.

mod client;
mod describe;
mod messages;
mod session;

use std::convert::Infallible;
use std::fmt::Display;

use self::session::Session;
use super::follow::{Ended, Follower};
use super::socket::{Api, At};

/// containerd's own services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Containerd;

/// It at a socket.
pub type Endpoint = At<Containerd>;

impl Api for Containerd {
    const USUAL: &'static [&'static str] = &[
        "/run/containerd/containerd.sock",
        "/run/k3s/containerd/containerd.sock",
    ];

    async fn session(
        follower: &Follower<Endpoint>,
        on_up: impl FnOnce(&dyn Display) + Send,
    ) -> Result<Infallible, Ended> {
        Session::run(follower, on_up).await
    }
}
