//! The messages of the CRI and of containerd's event service, as far as they are needed.
//!
//! The numbers are those of `k8s.io/cri-api`, `pkg/apis/runtime/v1/api.proto` (v1alpha2 has the
//! same), and of containerd, `api/services/events/v1/events.proto`; a field that is not named here
//! is skipped when it comes.

use prost::Message;

use crate::discovery::grpc::Entry;

/// `VersionRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) version: Vec<u8>,
}

/// `VersionResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionResponse {
    #[prost(bytes = "vec", tag = "2")]
    pub(super) runtime_name: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) runtime_version: Vec<u8>,
}

/// `PodSandboxStateValue` and `ContainerStateValue`: a state that may be left out.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StateValue {
    #[prost(int32, tag = "1")]
    pub(super) state: i32,
}

/// `SANDBOX_READY` of `PodSandboxState`.
pub(super) const SANDBOX_READY: i32 = 0;

/// `CONTAINER_RUNNING` of `ContainerState`.
pub(super) const CONTAINER_RUNNING: i32 = 1;

/// `CONTAINER_UNKNOWN` of `ContainerState`.
pub(super) const CONTAINER_UNKNOWN: i32 = 3;

/// `PodSandboxFilter` and `ContainerFilter`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StateFilter {
    #[prost(message, optional, tag = "2")]
    pub(super) state: Option<StateValue>,
}

/// `ListPodSandboxRequest` and `ListContainersRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) filter: Option<StateFilter>,
}

impl ListRequest {
    /// Asks for those in a state.
    pub(super) fn in_state(state: i32) -> Self {
        Self {
            filter: Some(StateFilter {
                state: Some(StateValue { state }),
            }),
        }
    }
}

/// `ListPodSandboxResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<PodSandbox>,
}

/// `PodSandbox`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandbox {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<PodSandboxMetadata>,
    #[prost(message, repeated, tag = "5")]
    pub(super) labels: Vec<Entry>,
    #[prost(message, repeated, tag = "6")]
    pub(super) annotations: Vec<Entry>,
}

/// `PodSandboxMetadata`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxMetadata {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) name: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) namespace: Vec<u8>,
}

/// `ListContainersResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) containers: Vec<ListedContainer>,
}

/// `Container`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ListedContainer {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) pod_sandbox_id: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub(super) metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "4")]
    pub(super) image: Option<ImageSpec>,
}

/// `ContainerMetadata`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerMetadata {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) name: Vec<u8>,
}

/// `ImageSpec`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ImageSpec {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) image: Vec<u8>,
    #[prost(bytes = "vec", tag = "18")]
    pub(super) user_specified_image: Vec<u8>,
}

/// `PodSandboxStatusRequest` and `ContainerStatusRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) id: Vec<u8>,
    #[prost(bool, tag = "2")]
    pub(super) verbose: bool,
}

/// `PodSandboxStatusResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<PodSandboxStatus>,
    #[prost(message, repeated, tag = "2")]
    pub(super) info: Vec<Entry>,
}

/// `PodSandboxStatus`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatus {
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<PodSandboxMetadata>,
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
    #[prost(message, optional, tag = "6")]
    pub(super) linux: Option<LinuxPodSandboxStatus>,
}

/// `LinuxPodSandboxStatus`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LinuxPodSandboxStatus {
    #[prost(message, optional, tag = "1")]
    pub(super) namespaces: Option<Namespaces>,
}

/// `Namespace`, which holds the options of all of a pod's.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Namespaces {
    #[prost(message, optional, tag = "2")]
    pub(super) options: Option<NamespaceOption>,
}

/// `NamespaceOption`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct NamespaceOption {
    #[prost(int32, tag = "1")]
    pub(super) network: i32,
}

/// `POD` of `NamespaceMode`: one for the pod.
pub(super) const NAMESPACE_POD: i32 = 0;

/// `NODE` of `NamespaceMode`: the host's.
pub(super) const NAMESPACE_NODE: i32 = 2;

/// `ContainerStatusResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<ContainerStatus>,
    #[prost(message, repeated, tag = "2")]
    pub(super) info: Vec<Entry>,
}

/// `ContainerStatus`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerStatus {
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
    #[prost(int64, tag = "5")]
    pub(super) started_at: i64,
    #[prost(message, optional, tag = "8")]
    pub(super) image: Option<ImageSpec>,
    #[prost(bytes = "vec", tag = "9")]
    pub(super) image_ref: Vec<u8>,
    #[prost(message, repeated, tag = "12")]
    pub(super) labels: Vec<Entry>,
}

/// containerd's `Envelope`: that there was an event is enough.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {}
