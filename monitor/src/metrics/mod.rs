//! What is published and how it is written: the metric tables, the slots that the kernel's
//! counters go to, the encoder, and the exporter's own metrics.
//!
//! [`render_namespaces`] and [`render_containers`] are pure: they take what a collection found and
//! write text. Nothing here reads a
//! file of `/proc` (but the process metrics of the `prometheus` crate, which read
//! `/proc/self`), and nothing decides which container a number belongs to.

pub mod cadvisor;
pub mod disk;
pub mod encoder;
pub mod exposition;
pub mod filesystem;
pub mod host;
pub mod labels;
pub mod layer;
pub mod names;
pub mod openmetrics;
pub mod own;
pub mod owners;
pub mod reader;
pub mod reference;
pub mod schema;
pub mod shorten;
mod sockets;
pub mod tables;

pub use cadvisor::{CadvisorFamilies, CadvisorFilesRow, CadvisorLabels, CadvisorRow};
pub use disk::DiskRow;
pub use encoder::Encoder;
pub use exposition::Exposition;
pub use filesystem::MountsRow;
pub use host::HostValues;
pub use labels::{Identity, Labels, Tail};
pub use layer::LayerRow;
pub use reader::FileReader;
pub use reference::reference;
pub use schema::{Counters, HostFiles, NamespaceRow, Schema};
pub use shorten::Ages;
pub use tables::{CounterFile, Kind, Metric};

use crate::procfs::Number;
use crate::sampler::tcp_states::ContainerSockets;

/// The `Content-Type` of what is written here and by [`own::OwnMetrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// TCP state changes of one container.
#[derive(Clone, Copy, Debug)]
pub struct TransitionRow<'a> {
    /// The container's identity labels.
    pub labels: &'a Labels,
    /// The state that was left.
    pub old_state: &'static str,
    /// The state that was entered.
    pub new_state: &'static str,
    /// How often.
    pub count: u64,
}

/// TCP sockets of one container.
#[derive(Clone, Copy, Debug)]
pub struct SocketsRow<'a> {
    /// The container's identity labels.
    pub labels: &'a Labels,
    /// Its sockets.
    pub sockets: &'a ContainerSockets,
    /// Whether states without a socket are written too, as 0: those of IPv4, and of IPv6 where
    /// there is a socket of it.
    pub zeros: bool,
}

/// What one collection found of containers and of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Collection<'a> {
    /// One row for each container and pair of states that happened.
    pub transitions: &'a [TransitionRow<'a>],
    /// One row for each container whose sockets were looked at.
    pub sockets: &'a [SocketsRow<'a>],
    /// One row for each container with mounts of its own.
    pub mounts: &'a [MountsRow],
    /// One row for each container that read or wrote.
    pub disks: &'a [DiskRow],
    /// One row for each container whose writable layer was scanned.
    pub layers: &'a [LayerRow],
    /// The whole label set of each container's `container_network_info`: identity first, then
    /// the labels of [`tables::container::INFO`].
    pub info: &'a [Labels],
    /// The host's values.
    pub host: HostValues,
}

/// Appends the text format of namespaces' counters to `out`, family by family, and returns the
/// number of series. The rows of a family come in the order given.
pub fn render_namespaces(schema: &Schema, rows: &[NamespaceRow<'_>], out: &mut String) -> u64 {
    let mut encoder = Encoder::new(out);
    schema.encode(rows, &mut encoder);
    encoder.series()
}

/// Appends the text format of a collection, likewise.
pub fn render_containers(collection: &Collection<'_>, out: &mut String) -> u64 {
    let mut encoder = Encoder::new(out);
    encode_transitions(collection.transitions, &mut encoder);
    sockets::encode(collection.sockets, &mut encoder);
    filesystem::encode(collection.mounts, &mut encoder);
    layer::encode(collection.layers, &mut encoder);
    disk::encode(collection.disks, &mut encoder);
    let info = &tables::container::INFO;
    let mut family = encoder.family(info.name, info.help, info.kind);
    for labels in collection.info {
        family.sample(labels, &Tail::NONE, Number::Unsigned(1));
    }
    drop(family);
    collection.host.encode(&mut encoder);
    encoder.series()
}

fn encode_transitions(rows: &[TransitionRow<'_>], encoder: &mut Encoder<'_>) {
    let metric = &tables::container::TCP_TRANSITIONS;
    let mut family = encoder.family(metric.name, metric.help, metric.kind);
    // There are few pairs of states and many rows: each pair's labels are made once.
    let mut tails: Vec<(&str, &str, Tail)> = Vec::new();
    for row in rows {
        let known = tails
            .iter()
            .position(|(old, new, _)| *old == row.old_state && *new == row.new_state);
        let at = known.unwrap_or_else(|| {
            let labels = [("old_state", row.old_state), ("new_state", row.new_state)];
            tails.push((row.old_state, row.new_state, Tail::labels(labels)));
            tails.len() - 1
        });
        family.sample(row.labels, &tails[at].2, Number::Unsigned(row.count));
    }
}

#[cfg(test)]
mod tests;
