//! The families of containers' writable layers.

use super::encoder::Encoder;
use super::labels::{Labels, Tail};
use super::tables::Metric;
use super::tables::filesystem::{LAYER_BYTES, LAYER_FILES, LAYER_TIMESTAMP};
use crate::layer::Scan;
use crate::procfs::Number;

/// The writable layer of one container.
pub type LayerRow = (Labels, Scan);

/// Writes the families.
pub(super) fn encode(rows: &[LayerRow], encoder: &mut Encoder<'_>) {
    family(rows, &LAYER_BYTES, |scan| scan.totals.bytes, encoder);
    family(rows, &LAYER_FILES, |scan| scan.totals.files, encoder);
    family(rows, &LAYER_TIMESTAMP, |scan| scan.timestamp, encoder);
}

fn family(rows: &[LayerRow], metric: &Metric, value: fn(&Scan) -> u64, encoder: &mut Encoder<'_>) {
    let mut out = encoder.family(metric.name, metric.help, metric.kind);
    for (labels, scan) in rows {
        out.sample(labels, &Tail::NONE, Number::Unsigned(value(scan)));
    }
}
