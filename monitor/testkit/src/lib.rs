//! What the tests, the demo and the bench start for real: network namespaces, workloads with real
//! sockets, a peer that holds the kernel's sockets in any state, a Docker daemon, a containerd with
//! pods, the monitor itself, a Prometheus server; and the judges that they are compared with (`ss`,
//! the kernel's own text, `promtool`).
//!
//! Everything here is stopped by its own process id when its guard is dropped, also on panic, and
//! dies with the process that started it. Nothing is a double of anything: where the real thing
//! can't run, [`mod@require`] says so and the test is skipped, or fails where skips are forbidden.

mod bridge;
pub mod cadvisor;
pub mod cgroup;
pub mod chaos;
pub mod child;
#[cfg(feature = "containerd")]
pub mod containerd;
mod daemon;
pub mod demo;
pub mod disk;
pub mod dockerd;
pub mod du;
pub mod files;
pub mod fuse;
pub mod http;
pub mod image;
pub mod metrics;
pub mod monitor;
pub mod netns;
pub mod peer;
pub mod proc_net_tcp;
pub mod prometheus;
pub mod published;
pub mod python;
pub mod receiver;
pub mod require;
pub mod ss;
pub mod stir;
pub mod sweep;
mod sys;
pub mod tracefs;
pub mod transitions;
pub mod wait;
pub mod workload;
