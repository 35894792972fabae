//! What containers read from disks and write to them, as their cgroups count it.
//!
//! [`stat`] parses the files of both versions of cgroups, [`cgroup`] finds a container's own
//! folder, [`sampler`] reads all of them once for a collection.

pub mod cgroup;
pub mod sampler;
pub mod stat;

pub use sampler::{DeviceLabels, DiskSample, DiskSampler, TrafficByDevice};
pub use stat::Traffic;
