//! The families of what containers read and write.

use super::encoder::Encoder;
use super::labels::Labels;
use super::tables::Metric;
use super::tables::disk::{READ_BYTES, READS, WRITES, WRITTEN_BYTES};
use crate::disk::{Traffic, TrafficByDevice};
use crate::procfs::Number;

/// The identity labels of one container, and what it read and wrote, by the label of the device.
pub type DiskRow = (Labels, TrafficByDevice);

/// Writes the families.
pub(super) fn encode(rows: &[DiskRow], encoder: &mut Encoder<'_>) {
    family(rows, &READ_BYTES, |traffic| traffic.read_bytes, encoder);
    family(
        rows,
        &WRITTEN_BYTES,
        |traffic| traffic.written_bytes,
        encoder,
    );
    family(rows, &READS, |traffic| traffic.reads, encoder);
    family(rows, &WRITES, |traffic| traffic.writes, encoder);
}

fn family(
    rows: &[DiskRow],
    metric: &Metric,
    value: fn(&Traffic) -> u64,
    encoder: &mut Encoder<'_>,
) {
    let mut out = encoder.family(metric.name, metric.help, metric.kind);
    for (labels, traffic) in rows {
        for (device, traffic) in traffic {
            out.sample(labels, &device.name, Number::Unsigned(value(traffic)));
        }
    }
}
