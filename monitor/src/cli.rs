//! The command line, as it is typed: flags, their environment variables and their help. What they
//! mean together is decided in [`config`](crate::config).

mod collectors;
mod filesystem;
mod limits;
mod push;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use collectors::CollectorArgs;
pub use filesystem::FilesystemArgs;
pub use limits::LimitArgs;
pub use push::PushArgs;
pub use web::{WebArgs, WebFileArg};

/// Which container is leaking sockets? Per-container socket and TCP metrics of this node, for
/// Prometheus.
#[derive(Debug, Parser)]
#[command(name = "container-monitor", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Serve the metrics of this node's containers over HTTP.
    Serve(Box<ServeArgs>),
    /// Say what this host offers, what is lost without it, and whether the monitor answers.
    Doctor(DoctorArgs),
}

/// Flags of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Only ask whether the monitor answers, and say nothing if it does: a health probe.
    #[arg(long = "health")]
    pub health: bool,

    /// Where things are; of the addresses the first is asked.
    #[command(flatten)]
    pub places: Places,
}

/// Flags that say where things are.
#[derive(Clone, Debug, Args)]
pub struct Places {
    /// Address to listen on; `:PORT` is every address of IPv4 and IPv6. Repeatable.
    #[arg(
        long = "web.listen-address",
        env = "CONTAINER_MONITOR_WEB_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = ":10042"
    )]
    pub listen_addresses: Vec<String>,

    /// How the pages are reached.
    #[command(flatten)]
    pub web_file: WebFileArg,

    /// Where the host's proc file system is mounted.
    #[arg(
        long = "path.procfs",
        env = "CONTAINER_MONITOR_PATH_PROCFS",
        value_name = "FOLDER",
        default_value = "/proc"
    )]
    pub procfs: PathBuf,

    /// Where the host's sysfs is mounted, with cgroups and tracefs below it.
    #[arg(
        long = "path.sysfs",
        env = "CONTAINER_MONITOR_PATH_SYSFS",
        value_name = "FOLDER",
        default_value = "/sys"
    )]
    pub sysfs: PathBuf,
}

/// Flags of `serve`, each with an environment variable.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Where things are.
    #[command(flatten)]
    pub places: Places,

    /// Path of the metrics.
    #[arg(
        long = "web.telemetry-path",
        env = "CONTAINER_MONITOR_WEB_TELEMETRY_PATH",
        value_name = "PATH",
        default_value = "/metrics"
    )]
    pub telemetry_path: String,

    /// The server.
    #[command(flatten)]
    pub web: WebArgs,

    /// How containers are found: auto, docker (and Podman's compatible socket), cri (containerd,
    /// CRI-O and others that the kubelet speaks to), containerd (what it runs without the CRI, as
    /// nerdctl and ctr have it do), cgroup (no runtime at all: from /proc). A list; auto takes
    /// what answers, else cgroup.
    #[arg(
        long = "discovery",
        env = "CONTAINER_MONITOR_DISCOVERY",
        value_name = "SOURCE",
        value_delimiter = ',',
        default_value = "auto"
    )]
    pub discovery: Vec<DiscoverySource>,

    /// Docker's API: unix:///PATH, tcp://HOST:PORT or http://HOST:PORT [default: DOCKER_HOST, else
    /// unix:///var/run/docker.sock; with auto also unix:///run/podman/podman.sock]
    #[arg(
        long = "docker.endpoint",
        env = "CONTAINER_MONITOR_DOCKER_ENDPOINT",
        value_name = "ENDPOINT"
    )]
    pub docker_endpoint: Option<String>,

    /// Socket of a runtime that speaks the CRI: unix:///PATH. Repeatable [default: what is there of
    /// /run/containerd/containerd.sock, /run/k3s/containerd/containerd.sock, /run/crio/crio.sock
    /// and /run/cri-dockerd.sock]
    #[arg(
        long = "cri.endpoint",
        env = "CONTAINER_MONITOR_CRI_ENDPOINT",
        value_name = "ENDPOINT",
        value_delimiter = ','
    )]
    pub cri_endpoints: Vec<String>,

    /// Socket of a containerd whose plain containers are wanted: unix:///PATH. Repeatable [default:
    /// what is there of /run/containerd/containerd.sock and /run/k3s/containerd/containerd.sock;
    /// with auto the sockets of --cri.endpoint, where given]
    #[arg(
        long = "containerd.endpoint",
        env = "CONTAINER_MONITOR_CONTAINERD_ENDPOINT",
        value_name = "ENDPOINT",
        value_delimiter = ','
    )]
    pub containerd_endpoints: Vec<String>,

    /// Labels of pods to put on container_network_info, as label_KEY: app.kubernetes.io/name is
    /// label_app_kubernetes_io_name. Repeatable.
    #[arg(
        long = "pod-labels",
        env = "CONTAINER_MONITOR_POD_LABELS",
        value_name = "KEY",
        value_delimiter = ','
    )]
    pub pod_labels: Vec<String>,

    /// Annotations of pods to put on container_network_info, as annotation_KEY. Repeatable.
    #[arg(
        long = "pod-annotations",
        env = "CONTAINER_MONITOR_POD_ANNOTATIONS",
        value_name = "KEY",
        value_delimiter = ','
    )]
    pub pod_annotations: Vec<String>,

    /// Report the host's own network namespace too, as container="/".
    #[arg(
        long = "host-network",
        env = "CONTAINER_MONITOR_HOST_NETWORK",
        value_parser = FalseyValueParser::new()
    )]
    pub host_network: bool,

    /// Which containers are published, and how many.
    #[command(flatten)]
    pub limits: LimitArgs,

    /// Which collectors are on.
    #[command(flatten)]
    pub collectors: CollectorArgs,

    /// Which mounts of a container are published, and how fast its writable layer is scanned.
    #[command(flatten)]
    pub filesystem: FilesystemArgs,

    /// What is pushed.
    #[command(flatten)]
    pub push: PushArgs,

    /// Publish more fields of snmp, snmp6 and netstat: those whose GROUP_FIELD, such as
    /// TcpExt_TCPFastOpenActive or Ip_OutRequests, matches this regular expression.
    #[arg(
        long = "collector.netstat.fields",
        env = "CONTAINER_MONITOR_COLLECTOR_NETSTAT_FIELDS",
        value_name = "REGEX"
    )]
    pub netstat_fields: Option<String>,

    /// Where TCP sockets are counted by state: in the kernel's own tables, in one pass for all
    /// containers (kernel), over sock_diag in each network namespace (sock_diag), nowhere (off);
    /// auto takes the first of these that works.
    #[arg(
        long = "collector.tcp-states",
        env = "CONTAINER_MONITOR_COLLECTOR_TCP_STATES",
        value_name = "SOURCE",
        default_value = "auto"
    )]
    pub tcp_states: TcpStates,

    /// Least time between two looks at the sockets; scrapes that come earlier share one.
    #[arg(
        long = "collector.tcp-states.min-interval",
        env = "CONTAINER_MONITOR_COLLECTOR_TCP_STATES_MIN_INTERVAL",
        value_name = "DURATION",
        default_value = "1s",
        value_parser = humantime::parse_duration
    )]
    pub tcp_states_min_interval: Duration,

    /// Kernel time above which looks at the sockets are made less often: after 60 times what the
    /// last one took.
    #[arg(
        long = "collector.tcp-states.max-duration",
        env = "CONTAINER_MONITOR_COLLECTOR_TCP_STATES_MAX_DURATION",
        value_name = "DURATION",
        default_value = "250ms",
        value_parser = humantime::parse_duration
    )]
    pub tcp_states_max_duration: Duration,

    /// Where the counters of snmp, snmp6 and netstat come from: the kernel's own, in one pass for
    /// all containers (kernel), the files of each (proc); auto takes the kernel's where they are
    /// what the files say.
    #[arg(
        long = "collector.counters",
        env = "CONTAINER_MONITOR_COLLECTOR_COUNTERS",
        value_name = "SOURCE",
        default_value = "auto"
    )]
    pub counters: CounterOrigin,

    /// Do not start without the eBPF program that counts transitions.
    #[arg(
        long = "require-ebpf",
        env = "CONTAINER_MONITOR_REQUIRE_EBPF",
        value_parser = FalseyValueParser::new()
    )]
    pub require_ebpf: bool,

    /// What is logged, to standard error.
    #[arg(
        long = "log.level",
        env = "CONTAINER_MONITOR_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub log_level: LogLevel,

    /// How it is written.
    #[arg(
        long = "log.format",
        env = "CONTAINER_MONITOR_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

/// A way to find containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiscoverySource {
    /// What answers.
    Auto,
    /// Docker, or Podman over its compatible socket.
    Docker,
    /// What the kubelet speaks to, over the CRI.
    Cri,
    /// What containerd runs without the CRI.
    Containerd,
    /// From `/proc` alone.
    Cgroup,
}

/// A way to count TCP sockets by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TcpStates {
    /// What works.
    Auto,
    /// The kernel's tables.
    Kernel,
    /// sock_diag in each network namespace.
    #[value(name = "sock_diag")]
    SockDiag,
    /// Not at all.
    Off,
}

/// A way to the namespaces' counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CounterOrigin {
    /// What works.
    Auto,
    /// The kernel's own.
    Kernel,
    /// The files of `/proc`.
    Proc,
}

/// The least important messages that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// What is wrong with a command line, with the tip for it, as one line; clap writes several.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:"));
    let said: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    format!("{} (--help tells all)", said.join("; "))
}
