//! The five calls of the CRI that discovery needs, and containerd's event stream, each with a time
//! limit.
//!
//! Never `GetContainerEvents`: a runtime may give each event to one listener alone, and the kubelet
//! is one.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::{Stream, TryStreamExt as _};
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::Endpoint;
use super::describe::text;
use super::messages::{
    CONTAINER_RUNNING, ContainerStatusResponse, Envelope, ListContainersResponse,
    ListPodSandboxResponse, ListRequest, ListedContainer, PodSandbox, PodSandboxStatusResponse,
    SANDBOX_READY, StatusRequest, SubscribeRequest, VersionRequest, VersionResponse,
};
use crate::container::Runtime;
use crate::discovery::follow::Ended;

/// The largest answer that is taken: a list of ten thousand sandboxes with their labels is larger
/// than the 4 MiB that gRPC allows by default.
const LARGEST_ANSWER: usize = 64 << 20;

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
    channel: Channel,
    api: &'static str,
    limit: Duration,
}

impl Client {
    /// Connects and asks who answers.
    pub(super) async fn connect(
        endpoint: &Endpoint,
        limit: Duration,
    ) -> Result<(Self, Engine), Ended> {
        let address = tonic::transport::Endpoint::from_shared(endpoint.to_string())
            .context("not an address")?;
        let channel = tokio::time::timeout(limit, address.connect())
            .await
            .map_err(|_| anyhow!("connect: no answer within {limit:?}"))?
            // The error itself says no more than that it is one.
            .map_err(|error| {
                anyhow!(
                    "cannot connect: {}",
                    causes(error.source().unwrap_or(&error))
                )
            })?;
        for api in VERSIONS {
            let client = Self {
                channel: channel.clone(),
                api,
                limit,
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

    /// The containers that run.
    pub(super) async fn containers(&self) -> anyhow::Result<Vec<ListedContainer>> {
        let question = ListRequest::in_state(CONTAINER_RUNNING);
        let answer: ListContainersResponse = self
            .call("ListContainers", question)
            .await
            .map_err(|status| failed("ListContainers", &status))?;
        Ok(answer.containers)
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
        let path = path(&format!("runtime.{}.RuntimeService", self.api), method)?;
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER);
        let call = async {
            grpc.ready().await.map_err(unavailable)?;
            let codec = ProstCodec::<Q, A>::default();
            grpc.unary(Request::new(question), path, codec).await
        };
        match tokio::time::timeout(self.limit, call).await {
            Ok(answer) => Ok(answer?.into_inner()),
            Err(_) => Err(Status::deadline_exceeded(format!(
                "no answer within {:?}",
                self.limit
            ))),
        }
    }

    /// The events after which the list may be another one, from containerd's event service. The
    /// first item may be the error that there is no such service.
    ///
    /// There is no time limit: containerd sends nothing, not even a head, before the first event.
    pub(super) fn events(&self) -> impl Stream<Item = Result<(), Status>> + Send + use<> {
        let mut grpc = Grpc::new(self.channel.clone());
        let filters = TOPICS.map(|topic| format!(r#"namespace=="{NAMESPACE}",topic=="{topic}""#));
        let question = SubscribeRequest {
            filters: filters.to_vec(),
        };
        let stream = async move {
            let path = path("containerd.services.events.v1.Events", "Subscribe")?;
            grpc.ready().await.map_err(unavailable)?;
            let codec = ProstCodec::<SubscribeRequest, Envelope>::default();
            let answer = grpc.server_streaming(Request::new(question), path, codec);
            answer.await.map(tonic::Response::into_inner)
        };
        futures_util::stream::once(stream)
            .try_flatten()
            .map_ok(|Envelope {}| ())
    }
}

fn path<P: std::str::FromStr>(service: &str, method: &str) -> Result<P, Status> {
    let path = format!("/{service}/{method}");
    path.parse()
        .map_err(|_| Status::internal(format!("{path} is no path")))
}

fn unavailable(error: tonic::transport::Error) -> Status {
    Status::unavailable(causes(&error))
}

/// A call that failed, in words: tonic's own quote the transport's errors as Rust would write them.
pub(super) fn failed(method: &str, status: &Status) -> anyhow::Error {
    let said = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    let text = with_causes(format!("{method} failed: {said}"), status.source());
    anyhow!("{text}")
}

fn causes(error: &dyn Error) -> String {
    with_causes(error.to_string(), error.source())
}

/// What was said and what caused it, each said once.
fn with_causes(mut text: String, mut cause: Option<&dyn Error>) -> String {
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
