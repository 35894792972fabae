//! The families of containers' files that have cAdvisor's names.

use std::sync::Arc;

use crate::disk::{Traffic, TrafficByDevice};
use crate::filesystem::Usage;
use crate::metrics::encoder::Encoder;
use crate::metrics::labels::{Labels, Tail};
use crate::metrics::tables::Metric;
use crate::metrics::tables::cadvisor::{
    FS_INODES_FREE, FS_INODES_TOTAL, FS_LIMIT, FS_READ_BYTES, FS_USAGE, FS_WRITTEN_BYTES,
};
use crate::procfs::Number;

/// What is known of the files of one container. What is not known is `None`, or not there.
#[derive(Clone, Debug, Default)]
pub struct CadvisorFilesRow {
    /// The labels.
    pub labels: Labels,
    /// The file system that its writable layer lies on, by the label of its device.
    pub holder: Option<(Arc<Tail>, Usage)>,
    /// Size of its writable layer, in bytes.
    pub layer: Option<u64>,
    /// What it read and wrote.
    pub traffic: TrafficByDevice,
}

/// Writes the families.
pub(super) fn encode(rows: &[CadvisorFilesRow], encoder: &mut Encoder<'_>) {
    holder(rows, &FS_USAGE, |row, _| row.layer, encoder);
    holder(rows, &FS_LIMIT, |_, usage| Some(usage.size), encoder);
    holder(rows, &FS_INODES_TOTAL, |_, usage| usage.files, encoder);
    holder(rows, &FS_INODES_FREE, |_, usage| usage.files_free, encoder);
    traffic(rows, &FS_READ_BYTES, |traffic| traffic.read_bytes, encoder);
    traffic(
        rows,
        &FS_WRITTEN_BYTES,
        |traffic| traffic.written_bytes,
        encoder,
    );
}

fn holder(
    rows: &[CadvisorFilesRow],
    metric: &Metric,
    value: fn(&CadvisorFilesRow, &Usage) -> Option<u64>,
    encoder: &mut Encoder<'_>,
) {
    let mut out = encoder.family(metric.name, metric.help, metric.kind);
    for row in rows {
        if let Some((device, usage)) = &row.holder
            && let Some(value) = value(row, usage)
        {
            out.sample(&row.labels, device, Number::Unsigned(value));
        }
    }
}

fn traffic(
    rows: &[CadvisorFilesRow],
    metric: &Metric,
    value: fn(&Traffic) -> u64,
    encoder: &mut Encoder<'_>,
) {
    let mut out = encoder.family(metric.name, metric.help, metric.kind);
    for row in rows {
        for (device, traffic) in &row.traffic {
            out.sample(&row.labels, &device.file, Number::Unsigned(value(traffic)));
        }
    }
}
