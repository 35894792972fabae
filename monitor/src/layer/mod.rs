//! The writable layer of containers: what they wrote into their root file system.
//!
//! [`upper`] finds the folder that overlayfs keeps it in, by what the host says rather than the
//! container (`owner` tells them apart), [`quota`] asks the file system for its sums, [`walk`] adds
//! up what is in it where there are none, and [`scanner`] does so in the background, slowly (`pace`),
//! so that no layer waits for a big one. [`sampler`] tells it which layers there are and takes what
//! it found. Nothing is walked at a scrape. `holder` asks what a layer lies on.

mod holder;
mod owner;
mod pace;
pub mod quota;
pub mod sampler;
pub mod scanner;
pub mod upper;
pub mod walk;

pub use holder::Holder;
pub use sampler::{LayerSample, LayerSampler};
pub use scanner::Scan;
