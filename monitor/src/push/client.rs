//! One HTTP request at a time, each on a connection of its own: pushes are a minute apart, and a
//! connection that is kept that long is mostly found closed when it is needed.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use axum::body::{Body, to_bytes};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::header::{HeaderMap, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::lookup::Lookup;
use super::{Answer, Target};

/// More of an answer is not read: what is needed of it is a sentence.
const MAX_ANSWER: usize = 64 << 10;

/// How long one address of a name may take; all of them share the time of a request.
const CONNECT: Duration = Duration::from_secs(3);

const AGENT: &str = concat!("container-monitor/", env!("CARGO_PKG_VERSION"));

/// Who sends to a target.
pub(super) struct Client {
    target: Target,
    lookup: Lookup,
}

impl Client {
    /// Sends to `target`, whose name is looked up for each request.
    pub(super) fn new(target: Target) -> Self {
        Self {
            lookup: Lookup::new(target.host.clone(), target.port),
            target,
        }
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    /// There is none: no connection, or one that ends before an answer.
    pub(super) async fn post(
        &self,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let addresses = self.lookup.addresses().await;
        let addresses = addresses.context("cannot look up the name")?;
        let stream = connect(&addresses).await.context("cannot connect")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .context("cannot speak HTTP")?;
        let mut request = Request::post(self.target.uri.clone())
            .header(HOST, &self.target.authority)
            .header(USER_AGENT, AGENT)
            .header(CONNECTION, "close")
            .header(CONTENT_LENGTH, body.len());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body)).context("no request")?;
        let exchange = async {
            let response = sender.send_request(request).await.context("no answer")?;
            let (parts, body) = response.into_parts();
            // What is too long or broken off is no reason to send everything again.
            let body = to_bytes(Body::new(body), MAX_ANSWER).await;
            anyhow::Ok(Answer {
                status: parts.status,
                retry_after: retry_after(&parts.headers, SystemTime::now()),
                body: body.unwrap_or_default(),
            })
        };
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            // The connection ends by itself once the answer is there, or because it broke.
            _ = connection => exchange.await,
        }
    }
}

/// Connects to the first address that answers: a name may have some that lead nowhere.
async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// RFC 9110, 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = http_date(text)?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that is still written.
fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    humantime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z")).ok()
}

#[cfg(test)]
mod tests;
