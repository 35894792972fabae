//! The writable layer of containers: what they wrote into their root file system.
//!
//! [`upper`] finds the folder that overlayfs keeps it in, [`walk`] adds up what is in it, and
//! [`scanner`] does so in the background, slowly, one layer after another; where the folder has a
//! project quota of its own, [`quota`] asks the kernel for the sum instead. [`sampler`] tells the
//! scanner which layers there are and takes what it found. Nothing is walked at a scrape.

pub mod quota;
pub mod sampler;
pub mod scanner;
mod sys;
pub mod upper;
pub mod walk;

pub use sampler::{LayerSample, LayerSampler};
pub use scanner::Scan;
