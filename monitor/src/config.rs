//! The validated configuration: everything that can be wrong with the command line is found here,
//! before anything is opened.

mod discovery;
mod limits;
mod push;
mod web;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;

use regex_lite::Regex;

use crate::cli::{CounterOrigin, LogFormat, LogLevel, ServeArgs, TcpStates};
use crate::collector::{CADVISOR, DISK_IO, FILESYSTEM, TRANSITIONS, WRITABLE_LAYER};
use crate::discovery::docker::EndpointError;
use crate::discovery::scan::ScanMode;
use crate::discovery::socket::SocketError;
use crate::discovery::{containerd, cri};
use crate::filesystem::{Rules, RulesError};
use crate::limits::{Limits, SelectorError};
use crate::metrics::CounterFile;
use crate::pod_labels::{PodLabels, PodLabelsError};
use crate::sampler::counters::CountersMode;
use crate::sampler::tcp_states::{Pace, TcpStatesMode};
use crate::serve::http::HEALTH;
use crate::serve::web::WebError;

use discovery::Discovery;
pub use discovery::{DockerSource, SocketSource};
pub use push::{PushError, PushSettings, PushTo};
pub use web::WebSettings;

/// A collector that can be switched off.
#[derive(Clone, Copy, Debug)]
pub struct CollectorFlag {
    /// Its name, as in `--collector.NAME`.
    pub name: &'static str,
    /// What it reads.
    pub help: &'static str,
    /// Whether it is on where nothing is said.
    pub default: bool,
}

/// Every collector.
pub const COLLECTORS: &[CollectorFlag] = &[
    CollectorFlag {
        name: "sockstat",
        help: "Sockets by protocol, of /proc/<pid>/net/sockstat",
        default: true,
    },
    CollectorFlag {
        name: "sockstat6",
        help: "The same for IPv6",
        default: true,
    },
    CollectorFlag {
        name: "snmp",
        help: "TCP's and UDP's counters, of /proc/<pid>/net/snmp",
        default: true,
    },
    CollectorFlag {
        name: "snmp6",
        help: "UDP's counters for IPv6, of /proc/<pid>/net/snmp6",
        default: true,
    },
    CollectorFlag {
        name: "netstat",
        help: "TCP's further counters, of /proc/<pid>/net/netstat",
        default: true,
    },
    CollectorFlag {
        name: TRANSITIONS,
        help: "TCP state transitions, counted by an eBPF program",
        default: true,
    },
    CollectorFlag {
        name: FILESYSTEM,
        help: "Size, use and errors of every file system that is mounted in a container",
        default: true,
    },
    CollectorFlag {
        name: WRITABLE_LAYER,
        help: "Size of what each container wrote into its root file system, scanned in the background",
        default: true,
    },
    CollectorFlag {
        name: DISK_IO,
        help: "What each container reads from block devices and writes to them",
        default: true,
    },
    CollectorFlag {
        name: CADVISOR,
        help: "What is there under the names of cAdvisor too, for its dashboards: TCP, UDP, sockets, writable layers and disks (container_fs_*)",
        default: false,
    },
];

/// What is wrong with the command line; every text names the flag.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An address to listen on.
    #[error("--web.listen-address {address}: {reason} (expected HOST:PORT or :PORT)")]
    ListenAddress {
        /// As given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The path of the metrics.
    #[error("--web.telemetry-path {path}: {reason}")]
    TelemetryPath {
        /// As given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The web configuration.
    #[error("--web.config.file {0}")]
    WebFile(#[from] WebError),
    /// How much sooner an answer comes.
    #[error("--web.timeout-offset {0}: must be less than an hour")]
    TimeoutOffset(humantime::Duration),
    /// Two ways to find containers that do not go together.
    #[error("--discovery: auto stands for the other sources and must stand alone")]
    AutoNotAlone,
    /// Docker's endpoint.
    #[error("{origin}: {source}")]
    DockerEndpoint {
        /// The flag or variable it came from.
        origin: &'static str,
        /// What is wrong with it.
        source: EndpointError,
    },
    /// A socket of the CRI or of containerd.
    #[error("{flag}: {source}")]
    Socket {
        /// The flag it was given to.
        flag: &'static str,
        /// What is wrong with it.
        source: SocketError,
    },
    /// Labels or annotations of pods.
    #[error(transparent)]
    PodLabels(#[from] PodLabelsError),
    /// The regular expression of more fields.
    #[error("--collector.netstat.fields: {0}")]
    NetstatFields(regex_lite::Error),
    /// What is left out of the file systems.
    #[error(transparent)]
    Filesystem(#[from] RulesError),
    /// A selector of containers.
    #[error("{flag} {selector}: {source}")]
    Selector {
        /// The flag.
        flag: &'static str,
        /// As given.
        selector: String,
        /// What is wrong with it.
        source: SelectorError,
    },
    /// What is pushed.
    #[error(transparent)]
    Push(#[from] PushError),
    /// eBPF is wanted and not wanted.
    #[error("--require-ebpf and --no-collector.transitions contradict each other")]
    EbpfOff,
    /// Nothing would be collected.
    #[error(
        "--no-collector.NAME and --collector.tcp-states=off: every collector is switched off, \
         leave one on"
    )]
    NothingToCollect,
}

/// What `serve` does.
#[derive(Debug)]
pub struct Config {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Path of the metrics.
    pub telemetry_path: String,
    /// How the pages are served.
    pub web: WebSettings,
    /// The host's proc file system.
    pub procfs: PathBuf,
    /// The host's sysfs.
    pub sysfs: PathBuf,
    /// Runtimes to follow over Docker's API.
    pub docker: Vec<DockerSource>,
    /// Runtimes to follow over the CRI.
    pub cri: Vec<SocketSource<cri::Endpoint>>,
    /// Namespaces of containerd to follow.
    pub containerd: Vec<SocketSource<containerd::Endpoint>>,
    /// Which labels of pods are published.
    pub pod_labels: Arc<PodLabels>,
    /// When `/proc` is scanned for containers.
    pub scan: ScanMode,
    /// Whether the host's own network namespace is reported.
    pub host_network: bool,
    /// Which containers are published.
    pub limits: Limits,
    /// Counter files to read.
    pub files: Vec<CounterFile>,
    /// Whether transitions are counted.
    pub transitions: bool,
    /// Where sockets are counted by state.
    pub tcp_states: TcpStatesMode,
    /// How often.
    pub tcp_states_pace: Pace,
    /// Which mounts of containers are published; `None` where they are not wanted.
    pub filesystem: Option<Rules>,
    /// How many entries of writable layers are looked at a second; `None` where none is.
    pub layer_budget: Option<u32>,
    /// Whether input and output are read.
    pub disk_io: bool,
    /// Whether the names of cAdvisor are published.
    pub cadvisor: bool,
    /// What is pushed, and where to.
    pub push: PushSettings,
    /// Where the namespaces' counters come from.
    pub counters: CountersMode,
    /// More fields to publish.
    pub netstat_fields: Option<Regex>,
    /// Whether to fail without the eBPF program.
    pub require_ebpf: bool,
    /// What is logged.
    pub log_level: LogLevel,
    /// How it is written.
    pub log_format: LogFormat,
}

impl Config {
    /// Validates the flags. `docker_host` is the environment variable `DOCKER_HOST`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(args: ServeArgs, docker_host: Option<String>) -> Result<Self, ConfigError> {
        let is_on = |name: &str| !args.collectors.disabled.contains(&name);
        let files: Vec<CounterFile> = CounterFile::ALL
            .into_iter()
            .filter(|file| is_on(file.name()))
            .collect();
        let transitions = is_on(TRANSITIONS);
        let tcp_states = match args.tcp_states {
            TcpStates::Auto => TcpStatesMode::Auto,
            TcpStates::Kernel => TcpStatesMode::Kernel,
            TcpStates::SockDiag => TcpStatesMode::SockDiag,
            TcpStates::Off => TcpStatesMode::Off,
        };
        let rules = Rules::new(
            &args.filesystem.points_exclude,
            &args.filesystem.types_exclude,
        )?;
        let filesystem = is_on(FILESYSTEM).then_some(rules);
        let layer_budget = is_on(WRITABLE_LAYER).then_some(args.filesystem.layer_budget);
        let disk_io = is_on(DISK_IO);
        let cadvisor = is_on(CADVISOR);
        if files.is_empty()
            && !transitions
            && tcp_states == TcpStatesMode::Off
            && filesystem.is_none()
            && layer_budget.is_none()
            && !disk_io
            && !cadvisor
        {
            return Err(ConfigError::NothingToCollect);
        }
        if args.require_ebpf && !transitions {
            return Err(ConfigError::EbpfOff);
        }
        let Discovery {
            docker,
            cri,
            containerd,
            scan,
        } = Discovery::new(&args, docker_host)?;
        let pod_labels = PodLabels::new(&args.pod_labels, &args.pod_annotations)?;
        let netstat_fields = args.netstat_fields.as_deref().map(Regex::new).transpose();
        Ok(Self {
            listen: listen_addresses(&args.places.listen_addresses)?,
            telemetry_path: telemetry_path(args.telemetry_path)?,
            web: WebSettings::new(&args.places.web_file, &args.web)?,
            push: PushSettings::new(args.push, |name| std::env::var(name).ok())?,
            procfs: args.places.procfs,
            sysfs: args.places.sysfs,
            docker,
            cri,
            containerd,
            pod_labels: Arc::new(pod_labels),
            scan,
            host_network: args.host_network,
            limits: limits::limits(args.limits)?,
            files,
            transitions,
            tcp_states,
            tcp_states_pace: Pace {
                min_interval: args.tcp_states_min_interval,
                max_duration: args.tcp_states_max_duration,
            },
            filesystem,
            layer_budget,
            disk_io,
            cadvisor,
            counters: match args.counters {
                CounterOrigin::Auto => CountersMode::Auto,
                CounterOrigin::Kernel => CountersMode::Kernel,
                CounterOrigin::Proc => CountersMode::Proc,
            },
            netstat_fields: netstat_fields.map_err(ConfigError::NetstatFields)?,
            require_ebpf: args.require_ebpf,
            log_level: args.log_level,
            log_format: args.log_format,
        })
    }
}

/// Addresses to listen on.
///
/// # Errors
/// One is none.
pub fn listen_addresses(addresses: &[String]) -> Result<Vec<SocketAddr>, ConfigError> {
    let addresses = addresses.iter();
    addresses.map(|address| listen_address(address)).collect()
}

fn listen_address(address: &str) -> Result<SocketAddr, ConfigError> {
    let full = if address.starts_with(':') {
        format!("[::]{address}")
    } else {
        address.to_owned()
    };
    let error = |reason: String| ConfigError::ListenAddress {
        address: address.to_owned(),
        reason,
    };
    let mut found = full
        .to_socket_addrs()
        .map_err(|source| error(source.to_string()))?;
    found
        .next()
        .ok_or_else(|| error("no such address".to_owned()))
}

fn telemetry_path(path: String) -> Result<String, ConfigError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    let reason = if !path.starts_with('/') {
        "must begin with a slash"
    } else if matches!(path.as_str(), "/" | HEALTH | "/readyz") {
        "is taken by another page"
    } else if !path.chars().all(plain) {
        "may hold letters, digits, slashes, dashes, underscores, dots and tildes"
    } else {
        return Ok(path);
    };
    Err(ConfigError::TelemetryPath { path, reason })
}

#[cfg(test)]
mod tests;
