//! Per-container socket and TCP metrics of a Linux node.
//!
//! The way of the data: [`discovery`] finds the containers, [`netns`] says which network
//! namespaces they stand in and who owns each, [`limits`] which are published, [`sampler`],
//! [`filesystem`], [`disk`] and [`layer`] read the kernel's numbers, [`snapshot`] merges them, [`metrics`] writes them down and [`serve`] hands them out.
//! ARCHITECTURE.md at the top of the repository draws the map.

pub mod cgroups;
pub mod cli;
pub mod collector;
pub mod config;
pub mod container;
pub mod daemon;
pub mod discovery;
pub mod disk;
pub mod doctor;
pub mod ebpf;
pub mod filesystem;
pub mod layer;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod netns;
pub mod pod_labels;
pub mod procfs;
pub mod push;
pub mod sampler;
pub mod serve;
pub mod snapshot;
pub mod tcp;
#[cfg(test)]
mod testing;
