//! containerd's event service, which its own services and the CRI have at the same socket.

use futures_util::Stream;
use prost::Message;
use tonic::{Request, Status};

use super::grpc::Connection;

/// `SubscribeRequest`.
#[derive(Clone, PartialEq, Message)]
struct SubscribeRequest {
    #[prost(string, repeated, tag = "1")]
    filters: Vec<String>,
}

/// The envelopes of events that one of `filters` lets through, as far as `E` reads them. The first
/// item may be the error that there is no such service.
pub(super) fn subscribe<E: Message + Default + 'static>(
    connection: &Connection,
    filters: Vec<String>,
) -> impl Stream<Item = Result<E, Status>> + Send + use<E> {
    let service = "containerd.services.events.v1.Events";
    let question = Request::new(SubscribeRequest { filters });
    connection.stream(service, "Subscribe", question)
}
