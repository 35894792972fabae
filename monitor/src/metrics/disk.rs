//! The families of what containers read and write.

use std::sync::Arc;

use super::encoder::Encoder;
use super::labels::{Labels, Tail};
use super::tables::disk::{READ_BYTES, READS, WRITES, WRITTEN_BYTES};
use crate::disk::Traffic;
use crate::procfs::Number;

/// The identity labels of one container, and what it read and wrote, by the label of the device.
pub type DiskRow = (Labels, Vec<(Arc<Tail>, Traffic)>);

/// Writes the families.
pub(super) fn encode(rows: &[DiskRow], encoder: &mut Encoder<'_>) {
    let families: [(_, fn(&Traffic) -> u64); 4] = [
        (&READ_BYTES, |traffic| traffic.read_bytes),
        (&WRITTEN_BYTES, |traffic| traffic.written_bytes),
        (&READS, |traffic| traffic.reads),
        (&WRITES, |traffic| traffic.writes),
    ];
    for (metric, value) in families {
        let mut out = encoder.family(metric.name, metric.help, metric.kind);
        for (labels, traffic) in rows {
            for (device, traffic) in traffic {
                out.sample(labels, device, Number::Unsigned(value(traffic)));
            }
        }
    }
}
