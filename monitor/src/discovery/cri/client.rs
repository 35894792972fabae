//! The five calls of the CRI that discovery needs, and containerd's event stream, each with a time
//! limit.
//!
//! Never `GetContainerEvents`: a runtime may give each event to one listener alone, and the kubelet
//! is one.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::{Stream, TryStreamExt as _};
use prost::Message;
use tonic::{Code, Request, Status};

use super::Endpoint;
use super::messages::{
    CONTAINER_RUNNING, CONTAINER_UNKNOWN, ContainerStatusResponse, Envelope,
    ListContainersResponse, ListPodSandboxResponse, ListRequest, ListedContainer, PodSandbox,
    PodSandboxStatusResponse, SANDBOX_READY, StatusRequest, VersionRequest, VersionResponse,
};
use crate::container::Runtime;
use crate::discovery::events::subscribe;
use crate::discovery::follow::Ended;
use crate::discovery::grpc::{Connection, failed, text};

/// The versions of the API, the newest first. The messages are the same.
const VERSIONS: [&str; 2] = ["v1", "v1alpha2"];

/// The event service's namespace of all that the CRI starts.
const NAMESPACE: &str = "k8s.io";

/// What may change the list.
const TOPICS: [&str; 4] = [
    "/tasks/start",
    "/tasks/exit",
    "/tasks/delete",
    "/containers/delete",
];

/// Who answers at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Engine {
    pub(super) runtime: Runtime,
    name: String,
    version: String,
    api: &'static str,
}

impl Engine {
    /// Whether it has containerd's event service on the same socket.
    pub(super) fn has_events(&self) -> bool {
        self.runtime == Runtime::Containerd
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, version, api, ..
        } = self;
        write!(formatter, "{name} {version} (CRI {api})")
    }
}

/// A connection to a runtime; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client {
    connection: Connection,
    api: &'static str,
}

impl Client {
    /// Connects and asks who answers.
    pub(super) async fn connect(
        endpoint: &Endpoint,
        limit: Duration,
    ) -> Result<(Self, Engine), Ended> {
        let connection = Connection::open(endpoint.socket(), limit).await?;
        for api in VERSIONS {
            let client = Self {
                connection: connection.clone(),
                api,
            };
            match client.version().await {
                Ok(engine) => return Ok((client, engine)),
                Err(status) if status.code() == Code::Unimplemented => {}
                Err(status) => {
                    let error = failed("Version", &status);
                    return Err(match status.source() {
                        Some(_) => error.context("is this a socket of the CRI?"),
                        None => error,
                    }
                    .into());
                }
            }
        }
        Err(Ended::NotServed(anyhow!(
            "it serves no CRI (of containerd: the plugin is disabled, as where Docker alone uses it)"
        )))
    }

    async fn version(&self) -> Result<Engine, Status> {
        let question = VersionRequest {
            version: self.api.into(),
        };
        let answer: VersionResponse = self.call("Version", question).await?;
        let name = text(&answer.runtime_name);
        Ok(Engine {
            runtime: match &*name {
                "containerd" => Runtime::Containerd,
                "cri-o" => Runtime::CriO,
                "docker" => Runtime::Docker,
                _ => Runtime::Cri,
            },
            name,
            version: text(&answer.runtime_version),
            api: self.api,
        })
    }

    /// The sandboxes that are ready.
    pub(super) async fn sandboxes(&self) -> anyhow::Result<Vec<PodSandbox>> {
        let question = ListRequest::in_state(SANDBOX_READY);
        let answer: ListPodSandboxResponse = self
            .call("ListPodSandbox", question)
            .await
            .map_err(|status| failed("ListPodSandbox", &status))?;
        Ok(answer.items)
    }

    /// The containers that run, and those of which the runtime lost track: after a restart they
    /// may run as well.
    pub(super) async fn containers(&self) -> anyhow::Result<Vec<ListedContainer>> {
        let mut containers = Vec::new();
        for state in [CONTAINER_RUNNING, CONTAINER_UNKNOWN] {
            let question = ListRequest::in_state(state);
            let answer: ListContainersResponse = self
                .call("ListContainers", question)
                .await
                .map_err(|status| failed("ListContainers", &status))?;
            containers.extend(answer.containers);
        }
        Ok(containers)
    }

    /// All that is known of a sandbox; `None` when there is none such.
    pub(super) async fn sandbox_status(
        &self,
        id: &[u8],
    ) -> anyhow::Result<Option<PodSandboxStatusResponse>> {
        self.status("PodSandboxStatus", id).await
    }

    /// All that is known of a container; `None` when there is none such.
    pub(super) async fn container_status(
        &self,
        id: &[u8],
    ) -> anyhow::Result<Option<ContainerStatusResponse>> {
        self.status("ContainerStatus", id).await
    }

    async fn status<A: Message + Default + 'static>(
        &self,
        method: &str,
        id: &[u8],
    ) -> anyhow::Result<Option<A>> {
        let question = StatusRequest {
            id: id.to_vec(),
            verbose: true,
        };
        match self.call(method, question).await {
            Ok(answer) => Ok(Some(answer)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(failed(method, &status)),
        }
    }

    async fn call<Q, A>(&self, method: &str, question: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let service = format!("runtime.{}.RuntimeService", self.api);
        let question = Request::new(question);
        self.connection.call(&service, method, question).await
    }

    /// The events after which the list may be another one, from containerd's event service. The
    /// first item may be the error that there is no such service.
    pub(super) fn events(&self) -> impl Stream<Item = Result<(), Status>> + Send + use<> {
        let filters = TOPICS.map(|topic| format!(r#"namespace=="{NAMESPACE}",topic=="{topic}""#));
        let events = subscribe(&self.connection, filters.to_vec());
        events.map_ok(|Envelope {}| ())
    }
}
