//! The part of the Container Runtime Interface that the guard calls.

pub(super) mod messages;

use std::time::Duration;

use anyhow::{Context, Result};
use prost::Message;
use tokio::runtime::{Builder, Runtime};
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// How long one call may take, such as the start of a pod while many others start.
const CALL: Duration = Duration::from_secs(120);

/// A request of the CRI, with its method and answer.
pub(super) trait Call: Message + 'static {
    /// The method's path: `/runtime.v1.RuntimeService/Version`.
    const METHOD: &'static str;
    /// What it answers.
    type Answer: Message + Default + 'static;
}

/// A connection to a runtime, with a loop of its own that runs only while a call does, so that
/// whoever calls stays synchronous.
#[derive(Debug)]
pub(super) struct Client {
    channel: Channel,
    runtime: Runtime,
}

impl Client {
    /// Connects at the first call.
    pub(super) fn new(endpoint: &str) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let endpoint = Endpoint::from_shared(endpoint.to_owned())?;
        let channel = {
            // The channel has a task of its own.
            let _inside = runtime.enter();
            endpoint.connect_lazy()
        };
        Ok(Self { channel, runtime })
    }

    /// Makes a call and waits for its answer.
    pub(super) fn call<C: Call>(&self, call: C) -> Result<C::Answer> {
        let mut grpc = Grpc::new(self.channel.clone());
        let mut request = Request::new(call);
        request.set_timeout(CALL);
        let path = PathAndQuery::from_static(C::METHOD);
        let answer = self.runtime.block_on(async {
            grpc.ready().await.context("no connection")?;
            let codec = ProstCodec::<C, C::Answer>::default();
            anyhow::Ok(grpc.unary(request, path, codec).await?)
        });
        Ok(answer.context(C::METHOD)?.into_inner())
    }
}
