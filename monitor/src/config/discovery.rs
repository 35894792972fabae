//! Where containers are looked for: which runtimes, at which endpoints.

use super::ConfigError;
use crate::cli::{DiscoverySource, ServeArgs};
use crate::discovery::cri;
use crate::discovery::docker::{Endpoint, parse_endpoint};
use crate::discovery::follow::Demand;
use crate::discovery::scan::ScanMode;

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

/// A runtime to follow over the CRI.
#[derive(Clone, Debug)]
pub struct CriSource {
    /// Its socket.
    pub endpoint: cri::Endpoint,
    /// Whether it was asked for by name.
    pub demand: Demand,
}

/// How containers are found.
pub(super) struct Discovery {
    pub(super) docker: Vec<DockerSource>,
    pub(super) cri: Vec<CriSource>,
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
        Ok(Self {
            docker: docker(args, docker_host, demand_of(DiscoverySource::Docker))?,
            cri: cri_sources(&args.cri_endpoints, demand_of(DiscoverySource::Cri))?,
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

/// Sources over the CRI; no `demand` is for none. Where it was asked for without an endpoint, any
/// of the usual ones will do.
fn cri_sources(given: &[String], demand: Option<Demand>) -> Result<Vec<CriSource>, ConfigError> {
    let mut given = given
        .iter()
        .map(|text| cri::parse_endpoint(text))
        .collect::<Result<Vec<_>, _>>()
        .map_err(ConfigError::CriEndpoint)?;
    let Some(mut demand) = demand else {
        return Ok(Vec::new());
    };
    if given.is_empty() {
        given = cri::Endpoint::usual();
        if demand == Demand::Required {
            demand = Demand::AnyOf;
        }
    }
    let mut sources: Vec<CriSource> = Vec::new();
    for endpoint in given {
        if !sources.iter().any(|known| known.endpoint == endpoint) {
            sources.push(CriSource { endpoint, demand });
        }
    }
    Ok(sources)
}
