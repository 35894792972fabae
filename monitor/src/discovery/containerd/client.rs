//! The calls of containerd's services that discovery needs.

use std::time::Duration;

use anyhow::{anyhow, bail};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use prost::Message;
use tonic::{Code, Request, Status};

use super::messages::{
    Container, Envelope, GetContainerResponse, GetRequest, GetTaskResponse, ListContainerMessage,
    ListNamespacesResponse, Nothing, OfContainer, Process, TaskExit, VersionResponse,
};
use crate::discovery::events::subscribe;
use crate::discovery::follow::Ended;
use crate::discovery::grpc::{Connection, failed, id_of, text, with_header};
use crate::discovery::socket::Socket;

const NAMESPACES: &str = "containerd.services.namespaces.v1.Namespaces";
const CONTAINERS: &str = "containerd.services.containers.v1.Containers";
const TASKS: &str = "containerd.services.tasks.v1.Tasks";

/// The header that says which namespace is meant.
const NAMESPACE: &str = "containerd-namespace";

/// A container, by its namespace and its id therein.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) id: String,
}

impl Key {
    /// `None` where it is none that could be asked for: containerd allows no others.
    pub(super) fn new(namespace: &[u8], id: &[u8]) -> Option<Self> {
        Some(Self {
            namespace: id_of(namespace)?,
            id: id_of(id)?,
        })
    }

    /// From `namespace/id`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (namespace, id) = text.split_once('/')?;
        Self::new(namespace.as_bytes(), id.as_bytes())
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.id)
    }
}

/// What happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Its first process was started.
    Started(Key),
    /// It has ended, or was removed.
    Ended(Key),
}

impl Event {
    /// `None` for what is of no interest, such as the end of an exec.
    pub(super) fn of(envelope: &Envelope) -> Option<Self> {
        let value = &*envelope.event.as_ref()?.value;
        let key = |id: &[u8]| Key::new(&envelope.namespace, id);
        match &*envelope.topic {
            b"/tasks/start" => {
                let started = OfContainer::decode(value).ok()?;
                key(&started.container_id).map(Self::Started)
            }
            b"/tasks/exit" => {
                let exit = TaskExit::decode(value).ok()?;
                let is_first = exit.id == exit.container_id;
                key(&exit.container_id)
                    .filter(|_| is_first)
                    .map(Self::Ended)
            }
            b"/containers/delete" => {
                let deleted = OfContainer::decode(value).ok()?;
                key(&deleted.container_id).map(Self::Ended)
            }
            _ => None,
        }
    }
}

/// A connection to a containerd; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client {
    connection: Connection,
    limit: Duration,
}

impl Client {
    /// Connects and asks for the version.
    pub(super) async fn connect(socket: &Socket, limit: Duration) -> Result<(Self, String), Ended> {
        let connection = Connection::open(socket, limit).await?;
        let service = "containerd.services.version.v1.Version";
        let answer = connection.call(service, "Version", Request::new(Nothing {}));
        match answer.await {
            Ok(VersionResponse { version }) => {
                let engine = format!("containerd {}", text(&version));
                Ok((Self { connection, limit }, engine))
            }
            Err(status) if status.code() == Code::Unimplemented => Err(Ended::NotServed(anyhow!(
                "it serves none of containerd's own services"
            ))),
            Err(status) => Err(failed("Version", &status).into()),
        }
    }

    /// All containers of all namespaces, also those that do not run.
    pub(super) async fn containers(&self) -> anyhow::Result<Vec<Key>> {
        let question = Request::new(Nothing {});
        let answer = self.connection.call(NAMESPACES, "List", question).await;
        let ListNamespacesResponse { namespaces } =
            answer.map_err(|status| failed("List of namespaces", &status))?;
        let mut found = Vec::new();
        for namespace in namespaces {
            self.containers_of(&namespace.name, &mut found).await?;
        }
        Ok(found)
    }

    /// One by one: a list in one answer has no limit, since it has everybody's configuration.
    async fn containers_of(&self, namespace: &[u8], found: &mut Vec<Key>) -> anyhow::Result<()> {
        let method = "ListStream";
        let failed = |status| failed("list of containers", &status);
        let question = with_header(Nothing {}, NAMESPACE, namespace).map_err(failed)?;
        let stream = self.connection.stream(CONTAINERS, method, question);
        let mut stream = Box::pin(stream);
        loop {
            let next = tokio::time::timeout(self.limit, stream.next()).await;
            let Ok(next) = next else {
                bail!("list of containers: no answer within {:?}", self.limit);
            };
            let Some(message) = next else { return Ok(()) };
            let ListContainerMessage { container } = message.map_err(failed)?;
            let id = container.map(|container| container.name);
            found.extend(Key::new(namespace, &id.unwrap_or_default()));
        }
    }

    /// A container and its task; `None` when one of them is not there.
    pub(super) async fn container(
        &self,
        key: &Key,
    ) -> anyhow::Result<Option<(Container, Process)>> {
        let answer: Option<GetTaskResponse> = self.get(TASKS, key).await?;
        let Some(process) = answer.and_then(|answer| answer.process) else {
            return Ok(None);
        };
        let answer: Option<GetContainerResponse> = self.get(CONTAINERS, key).await?;
        let container = answer.and_then(|answer| answer.container);
        Ok(container.map(|container| (container, process)))
    }

    async fn get<A>(&self, service: &str, key: &Key) -> anyhow::Result<Option<A>>
    where
        A: Message + Default + 'static,
    {
        let question = GetRequest {
            id: key.id.clone().into(),
        };
        let answer = match with_header(question, NAMESPACE, key.namespace.as_bytes()) {
            Ok(question) => self.connection.call(service, "Get", question).await,
            Err(status) => Err(status),
        };
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(failed("Get", &status)),
        }
    }

    /// What starts and ends, in all namespaces.
    pub(super) fn events(
        &self,
    ) -> impl Stream<Item = Result<Option<Event>, Status>> + Send + use<> {
        let topics = ["/tasks/start", "/tasks/exit", "/containers/delete"];
        let filters = topics.map(|topic| format!(r#"topic=="{topic}""#)).to_vec();
        let events = subscribe(&self.connection, filters);
        events.map_ok(|envelope| Event::of(&envelope))
    }
}
