//! Containers of Docker, and of Podman through its compatible socket.
//!
//! A session connects, takes the full list, follows the event stream and takes the list again every
//! minute. When the runtime does not
//! answer, what is known of it stays, and it is asked again with growing pauses. Everything that a
//! runtime says of a process is checked against `/proc` before it is believed.

mod client;
mod describe;
mod endpoint;
mod look_up;
mod session;
mod time;

use std::fmt::Display;

pub use endpoint::{Endpoint, EndpointError, parse_endpoint};

use self::session::Session;
use super::follow::{self, Ended, Follower};

impl follow::Endpoint for Endpoint {
    fn exists(&self) -> bool {
        match self {
            Self::Unix(path) => path.exists(),
            Self::Http(_) => true,
        }
    }

    async fn session(follower: &Follower<Self>, on_up: impl FnOnce(&dyn Display) + Send) -> Ended {
        match Session::run(follower, on_up).await {
            Ok(never) => match never {},
            Err(error) => Ended::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests;
