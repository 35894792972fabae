//! Where containers are looked for: which runtimes, at which endpoints.

use super::ConfigError;
use crate::cli::{DiscoverySource, ServeArgs};
use crate::discovery::docker::{Endpoint, parse_endpoint};
use crate::discovery::follow::Demand;
use crate::discovery::scan::ScanMode;
use crate::discovery::socket::Socket;
use crate::discovery::{containerd, cri};

/// A runtime to follow over Docker's API.
#[derive(Clone, Debug)]
pub struct DockerSource {
    /// The value of the `runtime` label.
    pub runtime: &'static str,
    /// Where its API is.
    pub endpoint: Endpoint,
    /// Whether it was asked for by name.
    pub demand: Demand,
}

/// A runtime to follow over the API that `E` asks at a socket.
#[derive(Clone, Debug)]
pub struct SocketSource<E> {
    /// Its socket.
    pub endpoint: E,
    /// Whether it was asked for by name.
    pub demand: Demand,
}

/// How containers are found.
pub(super) struct Discovery {
    pub(super) docker: Vec<DockerSource>,
    pub(super) cri: Vec<SocketSource<cri::Endpoint>>,
    pub(super) containerd: Vec<SocketSource<containerd::Endpoint>>,
    pub(super) scan: ScanMode,
}

impl Discovery {
    pub(super) fn new(args: &ServeArgs, docker_host: Option<String>) -> Result<Self, ConfigError> {
        let has = |source| args.discovery.contains(&source);
        let auto = has(DiscoverySource::Auto);
        let is_auto = |source: &DiscoverySource| *source == DiscoverySource::Auto;
        if auto && !args.discovery.iter().all(is_auto) {
            return Err(ConfigError::AutoNotAlone);
        }
        let demand_of = |source| match (auto, has(source)) {
            (true, _) => Some(Demand::IfPresent),
            (false, true) => Some(Demand::Required),
            (false, false) => None,
        };
        let cri = sockets(
            "--cri.endpoint",
            &args.cri_endpoints,
            cri::Endpoint::usual(),
            demand_of(DiscoverySource::Cri),
        )?;
        // A containerd in an unusual place, of which the CRI was told, has plain containers too.
        let usual = match (auto, args.cri_endpoints.is_empty()) {
            (true, false) => cri
                .iter()
                .map(|one| one.endpoint.socket().clone().into())
                .collect(),
            _ => containerd::Endpoint::usual(),
        };
        let containerd = sockets(
            "--containerd.endpoint",
            &args.containerd_endpoints,
            usual,
            demand_of(DiscoverySource::Containerd),
        )?;
        Ok(Self {
            docker: docker(args, docker_host, demand_of(DiscoverySource::Docker))?,
            cri,
            containerd,
            scan: if auto {
                ScanMode::UntilRuntimeAnswers
            } else if has(DiscoverySource::Cgroup) {
                ScanMode::Always
            } else {
                ScanMode::Off
            },
        })
    }
}

/// Sources over Docker's API; no `demand` is for none.
fn docker(
    args: &ServeArgs,
    docker_host: Option<String>,
    demand: Option<Demand>,
) -> Result<Vec<DockerSource>, ConfigError> {
    let given = match &args.docker_endpoint {
        Some(endpoint) => Some(("--docker.endpoint", endpoint.clone())),
        // Set for somebody's command line, it is no business of a daemon that asks no Docker.
        None => docker_host
            .filter(|host| demand.is_some() && !host.is_empty())
            .map(|host| ("DOCKER_HOST", host)),
    };
    let given = given
        .map(|(origin, text)| {
            parse_endpoint(&text).map_err(|source| ConfigError::DockerEndpoint { origin, source })
        })
        .transpose()?;
    let Some(demand) = demand else {
        return Ok(Vec::new());
    };
    let source = |runtime, endpoint| DockerSource {
        runtime,
        endpoint,
        demand,
    };
    Ok(match given {
        Some(endpoint) => vec![source("docker", endpoint)],
        None if demand == Demand::IfPresent => vec![
            source("docker", Endpoint::docker()),
            source("podman", Endpoint::podman()),
        ],
        None => vec![source("docker", Endpoint::docker())],
    })
}

/// Sockets that were given with `flag`; `usual` where none was. No `demand` is for none. Where it was
/// asked for without an endpoint, any of the usual ones will do.
fn sockets<E: From<Socket> + PartialEq>(
    flag: &'static str,
    given: &[String],
    usual: Vec<E>,
    demand: Option<Demand>,
) -> Result<Vec<SocketSource<E>>, ConfigError> {
    let parse = |text: &String| {
        let socket = Socket::parse(text);
        socket.map_err(|source| ConfigError::Socket { flag, source })
    };
    let given = given.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let Some(demand) = demand else {
        return Ok(Vec::new());
    };
    if given.is_empty() {
        let demand = match demand {
            Demand::Required => Demand::AnyOf,
            other => other,
        };
        let source = |endpoint| SocketSource { endpoint, demand };
        return Ok(usual.into_iter().map(source).collect());
    }
    let mut sources: Vec<SocketSource<E>> = Vec::new();
    for endpoint in given.into_iter().map(E::from) {
        if !sources.iter().any(|known| known.endpoint == endpoint) {
            sources.push(SocketSource { endpoint, demand });
        }
    }
    Ok(sources)
}
