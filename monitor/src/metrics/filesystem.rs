//! The families of containers' file systems.

use super::encoder::Encoder;
use super::labels::Labels;
use super::tables::Metric;
use super::tables::filesystem::{AVAIL, DEVICE_ERROR, FILES, FILES_FREE, FREE, READONLY, SIZE};
use crate::filesystem::{MountSample, Usage};
use crate::procfs::Number;

/// The identity labels of one container, and its mounts.
pub type MountsRow = (Labels, Vec<MountSample>);

/// Writes the families.
pub(super) fn encode(rows: &[MountsRow], encoder: &mut Encoder<'_>) {
    let usage = |value: fn(&Usage) -> Option<u64>| {
        move |found: &MountSample| found.usage.as_ref().and_then(value)
    };
    family(rows, &SIZE, usage(|usage| Some(usage.size)), encoder);
    family(rows, &FREE, usage(|usage| Some(usage.free)), encoder);
    family(rows, &AVAIL, usage(|usage| Some(usage.avail)), encoder);
    family(rows, &FILES, usage(|usage| usage.files), encoder);
    family(rows, &FILES_FREE, usage(|usage| usage.files_free), encoder);
    family(
        rows,
        &READONLY,
        |found| Some(found.mount.readonly.into()),
        encoder,
    );
    family(
        rows,
        &DEVICE_ERROR,
        |found| Some(found.usage.is_none().into()),
        encoder,
    );
}

fn family(
    rows: &[MountsRow],
    metric: &Metric,
    value: impl Fn(&MountSample) -> Option<u64>,
    encoder: &mut Encoder<'_>,
) {
    let mut out = encoder.family(metric.name, metric.help, metric.kind);
    for (labels, mounts) in rows {
        for found in mounts {
            if let Some(value) = value(found) {
                out.sample(labels, &found.mount.labels, Number::Unsigned(value));
            }
        }
    }
}
