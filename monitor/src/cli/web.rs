//! Flags of the web side.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// The flag that says how the pages are reached; the health probe has it too.
#[derive(Clone, Debug, Default, Args)]
pub struct WebFileArg {
    /// File with TLS, users, headers and a rate limit, in the format of Prometheus's exporter
    /// toolkit (node_exporter's --web.config.file); re-read when it or a certificate changes.
    #[arg(
        long = "web.config.file",
        env = "CONTAINER_MONITOR_WEB_CONFIG_FILE",
        value_name = "FILE"
    )]
    pub file: Option<PathBuf>,
}

/// Flags of the server.
#[derive(Clone, Debug, Args)]
pub struct WebArgs {
    /// How much sooner than Prometheus gives up a scrape is answered, with what is there by then.
    #[arg(
        long = "web.timeout-offset",
        env = "CONTAINER_MONITOR_WEB_TIMEOUT_OFFSET",
        value_name = "DURATION",
        default_value = "500ms",
        value_parser = humantime::parse_duration
    )]
    pub timeout_offset: Duration,

    /// Open connections, at most; the one of least use is closed for a new one.
    #[arg(
        long = "web.max-connections",
        env = "CONTAINER_MONITOR_WEB_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value = "512",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub max_connections: u32,
}
