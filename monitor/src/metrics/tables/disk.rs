//! What a container reads from disks and writes to them.

use super::Metric;

/// Where both versions of cgroups count bytes.
const BYTES: &str = "cgroup v2: io.stat rbytes, wbytes; v1: blkio.throttle.io_service_bytes";
/// Where they count operations.
const OPERATIONS: &str = "cgroup v2: io.stat rios, wios; v1: blkio.throttle.io_serviced";

/// Bytes read.
pub const READ_BYTES: Metric = Metric::counter(
    "container_disk_read_bytes_total",
    "Bytes that the container read from the block device",
    &["device"],
    BYTES,
);

/// Bytes written.
pub const WRITTEN_BYTES: Metric = Metric::counter(
    "container_disk_written_bytes_total",
    "Bytes that the container wrote to the block device",
    &["device"],
    BYTES,
);

/// Reads.
pub const READS: Metric = Metric::counter(
    "container_disk_reads_completed_total",
    "Reads from the block device that the container had done",
    &["device"],
    OPERATIONS,
);

/// Writes.
pub const WRITES: Metric = Metric::counter(
    "container_disk_writes_completed_total",
    "Writes to the block device that the container had done",
    &["device"],
    OPERATIONS,
);

/// All of them, in the order of the output.
pub const METRICS: &[Metric] = &[READ_BYTES, WRITTEN_BYTES, READS, WRITES];
