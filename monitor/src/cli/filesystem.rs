//! Flags of the file systems of containers.

use clap::Args;

use crate::filesystem::table::{POINTS_EXCLUDE, TYPES_EXCLUDE};

/// Which mounts of a container are published, and how fast its writable layer is scanned.
#[derive(Clone, Debug, Args)]
pub struct FilesystemArgs {
    /// Mount points that are left out; a regular expression. Mounts of single files, such as
    /// /etc/resolv.conf, always are.
    #[arg(
        long = "collector.filesystem.mount-points-exclude",
        env = "CONTAINER_MONITOR_COLLECTOR_FILESYSTEM_MOUNT_POINTS_EXCLUDE",
        value_name = "REGEX",
        default_value = POINTS_EXCLUDE
    )]
    pub points_exclude: String,

    /// Types of file systems that are left out; a regular expression.
    #[arg(
        long = "collector.filesystem.fs-types-exclude",
        env = "CONTAINER_MONITOR_COLLECTOR_FILESYSTEM_FS_TYPES_EXCLUDE",
        value_name = "REGEX",
        default_value = TYPES_EXCLUDE
    )]
    pub types_exclude: String,

    /// How many inodes of writable layers are looked at a second, at most, in the background; 10 or
    /// more.
    #[arg(
        long = "collector.writable-layer.budget",
        env = "CONTAINER_MONITOR_COLLECTOR_WRITABLE_LAYER_BUDGET",
        value_name = "INODES",
        default_value_t = 1_500,
        value_parser = clap::value_parser!(u32).range(10..)
    )]
    pub layer_budget: u32,
}
