//! What a container's file systems hold, and what it reads and writes.

use super::Metric;

/// Labels of a mount.
const MOUNT: &[&str] = &["mountpoint", "device", "fstype"];

/// Size.
pub const SIZE: Metric = Metric::gauge(
    "container_filesystem_size_bytes",
    "Size of the file system",
    MOUNT,
    "statvfs(3): f_blocks × f_frsize",
);

/// Free space.
pub const FREE: Metric = Metric::gauge(
    "container_filesystem_free_bytes",
    "Free space of the file system, with what is kept for root",
    MOUNT,
    "statvfs(3): f_bfree × f_frsize",
);

/// Free space for all.
pub const AVAIL: Metric = Metric::gauge(
    "container_filesystem_avail_bytes",
    "Free space of the file system for processes that are not root",
    MOUNT,
    "statvfs(3): f_bavail × f_frsize",
);

/// Inodes.
pub const FILES: Metric = Metric::gauge(
    "container_filesystem_files",
    "Inodes of the file system, where it counts them",
    MOUNT,
    "statvfs(3): f_files",
);

/// Free inodes.
pub const FILES_FREE: Metric = Metric::gauge(
    "container_filesystem_files_free",
    "Free inodes of the file system, where it counts them",
    MOUNT,
    "statvfs(3): f_ffree",
);

/// Whether it can be written.
pub const READONLY: Metric = Metric::gauge(
    "container_filesystem_readonly",
    "1 if nothing can be written through the mount, else 0",
    MOUNT,
    "mountinfo: option ro, of the mount or of its file system",
);

/// Whether it fails.
pub const DEVICE_ERROR: Metric = Metric::gauge(
    "container_filesystem_device_error",
    "1 if the file system failed when it was asked, or has not answered for five seconds, else 0",
    MOUNT,
    "statvfs(3)",
);

/// Where what is told of a writable layer comes from.
const LAYER_SOURCE: &str = "overlayfs: the upper folder's project quota (XFS, ext4) where it has one, else the folder, walked in the background";

/// Bytes of the writable layer.
pub const LAYER_BYTES: Metric = Metric::gauge(
    "container_filesystem_writable_layer_bytes",
    "Disk space of what the container wrote into its root file system, as du counts it, at the last scan",
    &[],
    LAYER_SOURCE,
);

/// Inodes of the writable layer.
pub const LAYER_FILES: Metric = Metric::gauge(
    "container_filesystem_writable_layer_files",
    "Inodes of what the container wrote into its root file system, at the last scan",
    &[],
    LAYER_SOURCE,
);

/// When it was scanned.
pub const LAYER_TIMESTAMP: Metric = Metric::gauge(
    "container_filesystem_writable_layer_scan_timestamp_seconds",
    "When the last scan of the container's writable layer ended, in Unix time",
    &[],
    "the exporter's clock",
);

/// What is told of a writable layer, in the order of the output.
pub const LAYER: &[Metric] = &[LAYER_BYTES, LAYER_FILES, LAYER_TIMESTAMP];

/// What is told of a mount, in the order of the output.
pub const METRICS: &[Metric] = &[SIZE, FREE, AVAIL, FILES, FILES_FREE, READONLY, DEVICE_ERROR];
