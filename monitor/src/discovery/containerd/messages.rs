//! The messages of containerd's services, as far as they are needed.
//!
//! The numbers are those of containerd's `api/services/{version,namespaces,containers,tasks,events}`,
//! `api/types/task/task.proto` and `api/events/{task,container}.proto`; a field that is not named
//! here is skipped when it comes.

use prost::Message;

use crate::discovery::grpc::Entry;

/// `google.protobuf.Empty`, and the requests that ask for all.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Nothing {}

/// `VersionResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) version: Vec<u8>,
}

/// `ListNamespacesResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListNamespacesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) namespaces: Vec<Named>,
}

/// `Namespace`, and `Container` of a list: the name or id is enough.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Named {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) name: Vec<u8>,
}

/// `ListContainerMessage`, one of a stream.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListContainerMessage {
    #[prost(message, optional, tag = "1")]
    pub(super) container: Option<Named>,
}

/// `GetContainerRequest` and `GetRequest` of a task.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) id: Vec<u8>,
}

/// `GetContainerResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) container: Option<Container>,
}

/// `Container`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) id: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub(super) labels: Vec<Entry>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) image: Vec<u8>,
    #[prost(message, optional, tag = "8")]
    pub(super) created_at: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// `GetResponse` of a task.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetTaskResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) process: Option<Process>,
}

/// `Process`, a task.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Process {
    #[prost(uint32, tag = "3")]
    pub(super) pid: u32,
    #[prost(int32, tag = "4")]
    pub(super) status: i32,
}

/// `CREATED` of `Status`: it waits to be started.
pub(super) const CREATED: i32 = 1;

/// `STOPPED` of `Status`.
pub(super) const STOPPED: i32 = 3;

/// `Envelope`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(bytes = "vec", tag = "2")]
    pub(super) namespace: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) topic: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    pub(super) event: Option<AnyMessage>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyMessage {
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// `TaskStart` and `ContainerDelete`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OfContainer {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) container_id: Vec<u8>,
}

/// `TaskExit`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TaskExit {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) container_id: Vec<u8>,
    /// The container's id for its first process, else that of an exec.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) id: Vec<u8>,
}
