//! Flags that say which containers are published, and how many.

use std::time::Duration;

use clap::Args;

/// Which containers are published, and how many.
#[derive(Clone, Debug, Args)]
pub struct LimitArgs {
    /// Publish only the containers that match: conditions on namespace, pod, container and image,
    /// as in PromQL, such as namespace=~"shop-.*",container!="proxy". A container has to meet all
    /// conditions of one selector. Repeatable, or separated by semicolons.
    #[arg(
        long = "container-include",
        env = "CONTAINER_MONITOR_CONTAINER_INCLUDE",
        value_name = "SELECTOR",
        value_delimiter = ';'
    )]
    pub include: Vec<String>,

    /// Leave out the containers that match, likewise.
    #[arg(
        long = "container-exclude",
        env = "CONTAINER_MONITOR_CONTAINER_EXCLUDE",
        value_name = "SELECTOR",
        value_delimiter = ';'
    )]
    pub exclude: Vec<String>,

    /// Leave out containers until they are this old: short jobs then leave no series.
    #[arg(
        long = "min-container-age",
        env = "CONTAINER_MONITOR_MIN_CONTAINER_AGE",
        value_name = "DURATION",
        default_value = "0s",
        value_parser = humantime::parse_duration
    )]
    pub min_age: Duration,

    /// Publish at most this many containers, the oldest ones; 0 is no limit.
    #[arg(
        long = "limit.containers",
        env = "CONTAINER_MONITOR_LIMIT_CONTAINERS",
        value_name = "COUNT",
        default_value_t = 0
    )]
    pub containers: usize,

    /// Publish at most this many series of containers and the host, those of the oldest
    /// containers; 0 is no limit.
    #[arg(
        long = "limit.series",
        env = "CONTAINER_MONITOR_LIMIT_SERIES",
        value_name = "COUNT",
        default_value_t = 0
    )]
    pub series: u64,
}
