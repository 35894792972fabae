//! Flags of what is pushed.

use std::time::Duration;

use clap::Args;

use crate::push::falcon;

/// Where collections are sent, beside being served.
#[derive(Clone, Debug, Args)]
pub struct PushArgs {
    /// Push to open-falcon: the URL of an agent, http://127.0.0.1:1988/v1/push.
    #[arg(
        long = "falcon.url",
        env = "CONTAINER_MONITOR_FALCON_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub falcon_url: Option<String>,

    /// Time from one push to open-falcon to the next, and the step of its items; whole seconds.
    #[arg(
        long = "falcon.interval",
        env = "CONTAINER_MONITOR_FALCON_INTERVAL",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = humantime::parse_duration
    )]
    pub falcon_interval: Duration,

    /// What open-falcon calls this host [default: its host name].
    #[arg(
        long = "falcon.endpoint",
        env = "CONTAINER_MONITOR_FALCON_ENDPOINT",
        value_name = "NAME"
    )]
    pub falcon_endpoint: Option<String>,

    /// Families that are pushed to open-falcon: a regular expression for the whole name.
    #[arg(
        long = "falcon.metrics",
        env = "CONTAINER_MONITOR_FALCON_METRICS",
        value_name = "REGEX",
        default_value = falcon::METRICS
    )]
    pub falcon_metrics: String,

    /// Push over OTLP (HTTP, protobuf): the URL of a collector, http://127.0.0.1:4318; /v1/metrics
    /// is added [default: OTEL_EXPORTER_OTLP_METRICS_ENDPOINT as it stands, else
    /// OTEL_EXPORTER_OTLP_ENDPOINT].
    #[arg(
        long = "otlp.endpoint",
        env = "CONTAINER_MONITOR_OTLP_ENDPOINT",
        value_name = "URL",
        hide_env_values = true
    )]
    pub otlp_endpoint: Option<String>,

    /// Headers of the push over OTLP: NAME=VALUE,NAME=VALUE, values percent-encoded [default:
    /// OTEL_EXPORTER_OTLP_METRICS_HEADERS, else OTEL_EXPORTER_OTLP_HEADERS].
    #[arg(
        long = "otlp.headers",
        env = "CONTAINER_MONITOR_OTLP_HEADERS",
        value_name = "HEADERS",
        hide_env_values = true
    )]
    pub otlp_headers: Option<String>,

    /// Time from one push over OTLP to the next.
    #[arg(
        long = "otlp.interval",
        env = "CONTAINER_MONITOR_OTLP_INTERVAL",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = humantime::parse_duration
    )]
    pub otlp_interval: Duration,

    /// What Kubernetes calls this node, pushed over OTLP as k8s.node.name [default: not pushed].
    #[arg(
        long = "otlp.node",
        env = "CONTAINER_MONITOR_OTLP_NODE",
        value_name = "NAME"
    )]
    pub otlp_node: Option<String>,
}
