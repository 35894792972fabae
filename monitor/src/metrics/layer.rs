//! The families of containers' writable layers.

use super::encoder::Encoder;
use super::labels::{Labels, Tail};
use super::tables::filesystem::{LAYER_BYTES, LAYER_FILES, LAYER_TIMESTAMP};
use crate::layer::Scan;
use crate::procfs::Number;

/// The writable layer of one container.
pub type LayerRow = (Labels, Scan);

/// Writes the families.
pub(super) fn encode(rows: &[LayerRow], encoder: &mut Encoder<'_>) {
    let families: [(_, fn(&Scan) -> u64); 3] = [
        (&LAYER_BYTES, |scan| scan.totals.bytes),
        (&LAYER_FILES, |scan| scan.totals.files),
        (&LAYER_TIMESTAMP, |scan| scan.timestamp),
    ];
    for (metric, value) in families {
        let mut out = encoder.family(metric.name, metric.help, metric.kind);
        for (labels, scan) in rows {
            out.sample(labels, &Tail::NONE, Number::Unsigned(value(scan)));
        }
    }
}
