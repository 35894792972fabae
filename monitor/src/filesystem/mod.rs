//! The file systems of containers: which mounts a container has, and how full each is.
//!
//! [`table`] decides from a container's own `mountinfo` which of its mounts are worth a series,
//! `listings` remembers that as long as `unchanged` finds the mounts to be the same, [`ask`] asks
//! one of them how full it is, without ever leaving the container's root, `slow` asks those that
//! may hang on threads that may hang with them, and [`sampler`] does it all once for a collection.

pub mod ask;
mod asked;
mod listings;
pub mod sampler;
mod slow;
pub mod table;
mod unchanged;

pub use ask::Usage;
pub use sampler::{FilesystemSample, FilesystemSampler, MountSample};
pub use table::{Rules, RulesError};
