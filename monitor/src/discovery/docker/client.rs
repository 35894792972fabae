//! The five calls of the Docker API that discovery needs, each with a time limit, reduced to the
//! few fields that it keeps.
//!
//! bollard's own time limit ends with the response's head; a body that never comes would be waited
//! for without end, so every call is wrapped here.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use bollard::errors::Error as ApiError;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{EventsOptions, InspectContainerOptions, ListContainersOptions};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::{Stream, StreamExt as _};

use super::Endpoint;
use crate::container::Runtime;

/// Who answers at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Engine {
    /// Docker or Podman.
    pub(super) runtime: Runtime,
    version: String,
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.runtime.as_str(), self.version)
    }
}

/// A line of the list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) name: String,
}

/// An event of a container.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) action: String,
    pub(super) id: String,
}

/// A connection to a runtime; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client {
    docker: Docker,
    limit: Duration,
}

impl Client {
    /// Connects and asks who answers.
    pub(super) async fn connect(
        endpoint: &Endpoint,
        limit: Duration,
    ) -> anyhow::Result<(Self, Engine)> {
        // bollard leaves the API version out of the paths it asks for, so the runtime answers in
        // its newest; the number given here plays no part.
        let seconds = limit.as_secs().max(1);
        let docker = match endpoint {
            Endpoint::Unix(path) => {
                let path = path
                    .to_str()
                    .with_context(|| format!("{} is no UTF-8", path.display()))?;
                Docker::connect_with_unix(path, seconds, API_DEFAULT_VERSION)
            }
            Endpoint::Http(authority) => {
                Docker::connect_with_http(authority, seconds, API_DEFAULT_VERSION)
            }
        }?;
        let client = Self { docker, limit };
        let version = client.limited("version", client.docker.version()).await?;
        let podman = version
            .components
            .iter()
            .flatten()
            .any(|component| component.name == "Podman Engine");
        let engine = Engine {
            runtime: if podman {
                Runtime::Podman
            } else {
                Runtime::Docker
            },
            version: version.version.unwrap_or_default(),
        };
        Ok((client, engine))
    }

    /// The containers that have processes.
    pub(super) async fn list(&self, engine: &Engine) -> anyhow::Result<Vec<Listed>> {
        // Always by state: a container in a state that bollard does not know would make the whole
        // list fail. One that is restarting has no process until its start event. Podman has a
        // state of its own for the time between SIGTERM and the end; Docker calls that running,
        // and refuses the word.
        let mut states = vec!["running".to_owned(), "paused".to_owned()];
        if engine.runtime == Runtime::Podman {
            states.push("stopping".to_owned());
        }
        let options = ListContainersOptions {
            filters: Some(HashMap::from([("status".to_owned(), states)])),
            ..ListContainersOptions::default()
        };
        let list = self
            .limited(
                "list of containers",
                self.docker.list_containers(Some(options)),
            )
            .await?;
        Ok(list
            .into_iter()
            .filter_map(|summary| {
                let names = summary.names.unwrap_or_default();
                Some(Listed {
                    id: summary.id?,
                    name: own_name(&names).to_owned(),
                })
            })
            .collect())
    }

    /// What the runtime says of a container, by id or name; `None` when it knows none such.
    pub(super) async fn inspect(
        &self,
        id: &str,
    ) -> anyhow::Result<Option<ContainerInspectResponse>> {
        let call = self
            .docker
            .inspect_container(id, None::<InspectContainerOptions>);
        match tokio::time::timeout(self.limit, call).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(ApiError::DockerResponseServerError {
                status_code: 404, ..
            })) => Ok(None),
            Ok(Err(error)) => Err(error).with_context(|| format!("inspect of {id} failed")),
            Err(_) => Err(self.timed_out("inspect")),
        }
    }

    /// The events of containers from `since` on. The stream ends when the runtime does.
    ///
    /// The subscription is made when the stream is first waited for. That `since` lies before the
    /// list that was taken meanwhile makes up for it: nothing falls between the two.
    pub(super) fn events(
        &self,
        since: SystemTime,
    ) -> impl Stream<Item = anyhow::Result<Option<Event>>> + Unpin + use<> {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let options = EventsOptions {
            since: Some(format!("{}.{:09}", since.as_secs(), since.subsec_nanos())),
            until: None,
            filters: Some(HashMap::from([(
                "type".to_owned(),
                vec!["container".to_owned()],
            )])),
        };
        Box::pin(self.docker.events(Some(options)).map(|event| {
            let event = event.context("event stream broke")?;
            Ok(event
                .action
                .zip(event.actor.and_then(|actor| actor.id))
                .map(|(action, id)| Event { action, id }))
        }))
    }

    async fn limited<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, ApiError>>,
    ) -> anyhow::Result<T> {
        match tokio::time::timeout(self.limit, call).await {
            Ok(answer) => answer.with_context(|| format!("{what} failed")),
            Err(_) => Err(self.timed_out(what)),
        }
    }

    fn timed_out(&self, what: &str) -> anyhow::Error {
        anyhow!("{what}: no answer within {:?}", self.limit)
    }
}

/// The name of a container among its names: links of other containers add `/other/alias`.
fn own_name(names: &[String]) -> &str {
    names
        .iter()
        .map(|name| name.strip_prefix('/').unwrap_or(name))
        .find(|name| !name.contains('/'))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::own_name;

    #[test]
    fn the_own_name_is_the_one_that_no_link_made() {
        let names = ["/web/db".to_owned(), "/db".to_owned()];
        assert_eq!(own_name(&names), "db");
        assert_eq!(own_name(&["db".to_owned()]), "db");
        assert_eq!(own_name(&[]), "");
    }
}
