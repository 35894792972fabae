//! Calls of a runtime's gRPC services over its Unix socket, each with a time limit, and what went
//! wrong in words.
//!
//! Messages are declared by hand, without protoc, and texts in them as bytes, which are the same on
//! the wire: a name that is no UTF-8 would otherwise make a whole list fail.

use std::error::Error;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::{Stream, TryStreamExt as _};
use prost::Message;
use tonic::client::Grpc;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::socket::Socket;

/// The largest answer that is taken: a list of ten thousand sandboxes with their labels is larger
/// than the 4 MiB that gRPC allows by default.
const LARGEST_ANSWER: usize = 64 << 20;

/// A connection to a runtime; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    channel: Channel,
    limit: Duration,
}

impl Connection {
    /// Connects; `limit` is the time limit of this and of each call.
    pub(super) async fn open(socket: &Socket, limit: Duration) -> anyhow::Result<Self> {
        let address = Endpoint::from_shared(socket.to_string()).context("not an address")?;
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
        Ok(Self { channel, limit })
    }

    /// Calls a method and waits for its answer.
    pub(super) async fn call<Q, A>(
        &self,
        service: &str,
        method: &str,
        question: Request<Q>,
    ) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path = path(service, method)?;
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER);
        let call = async {
            grpc.ready().await.map_err(unavailable)?;
            let codec = ProstCodec::<Q, A>::default();
            grpc.unary(question, path, codec).await
        };
        match tokio::time::timeout(self.limit, call).await {
            Ok(answer) => Ok(answer?.into_inner()),
            Err(_) => Err(Status::deadline_exceeded(format!(
                "no answer within {:?}",
                self.limit
            ))),
        }
    }

    /// What a method goes on answering; the first item may be the error that there is none such.
    ///
    /// There is no time limit: containerd sends nothing, not even a head, before the first event.
    pub(super) fn stream<Q, A>(
        &self,
        service: &'static str,
        method: &'static str,
        question: Request<Q>,
    ) -> impl Stream<Item = Result<A, Status>> + Send + use<Q, A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.channel.clone());
        let stream = async move {
            let path = path(service, method)?;
            grpc.ready().await.map_err(unavailable)?;
            let codec = ProstCodec::<Q, A>::default();
            let answer = grpc.server_streaming(question, path, codec);
            answer.await.map(tonic::Response::into_inner)
        };
        futures_util::stream::once(stream).try_flatten()
    }
}

/// A question with one more header.
///
/// # Errors
/// The value is none that a header can have.
pub(super) fn with_header<Q>(
    question: Q,
    name: &'static str,
    value: &[u8],
) -> Result<Request<Q>, Status> {
    let value = AsciiMetadataValue::try_from(value)
        .map_err(|_| Status::invalid_argument(format!("{} in {name}", value.escape_ascii())))?;
    let mut request = Request::new(question);
    let name = AsciiMetadataKey::from_static(name);
    request.metadata_mut().insert(name, value);
    Ok(request)
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

/// A text of a message.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An id of a message; `None` where it is none that could be asked for or looked for: containerd
/// allows no others.
pub(super) fn id_of(bytes: &[u8]) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    (!bytes.is_empty() && bytes.iter().all(plain)).then(|| text(bytes))
}

/// An entry of a `map<string, string>`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// The value of a key in a map.
pub(super) fn value_of<'a>(entries: &'a [Entry], key: &str) -> Option<&'a [u8]> {
    let mut entries = entries.iter();
    let entry = entries.find(|entry| entry.key == key.as_bytes())?;
    Some(&entry.value)
}
