//! Messages of the CRI, `runtime.v1` of Kubernetes' cri-api, as far as the guard needs them: what
//! is not named here is not sent, and passed over in answers.
//!
//! Written by hand from the numbers in `api.proto`. The daemon has its own, so that a mistake in
//! one of them shows.

mod container;
mod pod;

use super::Call;

pub(crate) use container::*;
pub(crate) use pod::*;

/// Says which method takes a request, and what it answers.
macro_rules! calls {
    ($($service:ident / $method:ident: $request:ty => $answer:ty;)+) => {
        $(impl Call for $request {
            const METHOD: &'static str =
                concat!("/runtime.v1.", stringify!($service), "/", stringify!($method));
            type Answer = $answer;
        })+
    };
}

calls! {
    RuntimeService / Status: StatusRequest => StatusResponse;
    RuntimeService / RunPodSandbox: RunPodSandboxRequest => RunPodSandboxResponse;
    RuntimeService / StopPodSandbox: StopPodSandboxRequest => Nothing;
    RuntimeService / RemovePodSandbox: RemovePodSandboxRequest => Nothing;
    RuntimeService / PodSandboxStatus: PodSandboxStatusRequest => PodSandboxStatusResponse;
    RuntimeService / CreateContainer: CreateContainerRequest => CreateContainerResponse;
    RuntimeService / StartContainer: StartContainerRequest => Nothing;
    RuntimeService / StopContainer: StopContainerRequest => Nothing;
    RuntimeService / RemoveContainer: RemoveContainerRequest => Nothing;
    RuntimeService / ContainerStatus: ContainerStatusRequest => ContainerStatusResponse;
    ImageService / ImageStatus: ImageStatusRequest => ImageStatusResponse;
}

/// Any answer that says nothing but that it was done.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Nothing {}

/// Asks whether the runtime and its network are ready.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatusRequest {}

/// Whether they are.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<RuntimeStatus>,
}

/// What is ready.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RuntimeStatus {
    #[prost(message, repeated, tag = "1")]
    pub(crate) conditions: Vec<RuntimeCondition>,
}

/// Something that has to be ready: the runtime, the network.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RuntimeCondition {
    #[prost(bool, tag = "2")]
    pub(crate) status: bool,
}

/// Asks for an image.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ImageStatusRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) image: Option<ImageSpec>,
}

/// The image; none where there is no such one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ImageStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) image: Option<Image>,
}

/// An image that is there.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Image {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}

/// Which image.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ImageSpec {
    #[prost(string, tag = "1")]
    pub(crate) image: String,
}
