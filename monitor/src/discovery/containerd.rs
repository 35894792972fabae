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
mod endpoint;
mod messages;
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
