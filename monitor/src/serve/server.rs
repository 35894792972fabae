//! From a listener to the router: TLS where the configuration says so, HTTP/1.1, and a bound on
//! everything that a client can make take long or become large.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::connections::{Connections, Slot};
use super::room::Watched;
use super::web::Web;

/// The largest header of a request. Prometheus sends less than a kilobyte.
const MAX_HEADER: usize = 16 << 10;

/// The most that is read ahead of a connection, and that is copied for it before it is sent.
const MAX_BUFFER: usize = 64 << 10;

/// How often is looked for connections that take too long.
const SWEEP: Duration = Duration::from_secs(1);

/// How long no connection is taken when the system has no descriptor left, even though one of
/// ours was given up.
const PAUSE: Duration = Duration::from_millis(50);

/// The first byte of a TLS record with a handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// What is said to who speaks plain HTTP where TLS is spoken.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 39\r\nConnection: close\r\n\r\nTLS is spoken here: ask with https://.\n";

/// What all listeners share.
#[derive(Clone, Debug)]
pub struct Server {
    router: Router,
    web: Arc<Web>,
    connections: Arc<Connections>,
}

impl Server {
    /// Serves the pages of `router` as `web` says, with at most `max_connections` open.
    pub fn new(router: Router, web: Arc<Web>, max_connections: usize) -> Self {
        Self {
            router,
            web,
            connections: Connections::new(max_connections),
        }
    }

    /// Takes connections until `stopped` says so, then lets requests under way end.
    pub async fn run(self, listener: TcpListener, mut stopped: watch::Receiver<()>) {
        let mut open = JoinSet::new();
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_said = false;
        loop {
            tokio::select! {
                // An error says that the daemon is gone: then too it is time to stop.
                _ = stopped.changed() => break,
                Some(_) = open.join_next(), if !open.is_empty() => {}
                _ = sweep.tick(), if !open.is_empty() => {
                    self.connections.close_late(Instant::now());
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.take(stream, &mut open, &stopped),
                    Err(error) if is_of_the_client(&error) => {
                        debug!(%error, "a connection ended before it was taken");
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut has_said, true) {
                            warn!(%error, "cannot take a connection, giving up another");
                        }
                        self.connections.give_up_one();
                        sleep(PAUSE).await;
                    }
                }
            }
        }
        drop(listener);
        while open.join_next().await.is_some() {}
    }

    fn take(&self, stream: TcpStream, open: &mut JoinSet<()>, stopped: &watch::Receiver<()>) {
        let slot = Arc::new(self.connections.open());
        let id = slot.id();
        let task = open.spawn(self.clone().connection(stream, slot, stopped.clone()));
        self.connections.served_by(id, task);
    }

    async fn connection(
        self,
        mut stream: TcpStream,
        slot: Arc<Slot>,
        stopped: watch::Receiver<()>,
    ) {
        // An answer is written at once; waiting for more would only hold its end back.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        let config = self.web.current().await;
        let Some(tls) = &config.tls else {
            return self.requests(stream, slot, stopped).await;
        };
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first[0] == TLS_HANDSHAKE => {}
            Ok(1) => return refuse_plain(&mut stream).await,
            _ => return,
        }
        match TlsAcceptor::from(Arc::clone(tls)).accept(stream).await {
            Ok(stream) => self.requests(stream, slot, stopped).await,
            Err(error) => debug!(%error, "no TLS"),
        }
    }

    async fn requests(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        slot: Arc<Slot>,
        mut stopped: watch::Receiver<()>,
    ) {
        let (stream, room) = Watched::new(stream);
        let router = TowerToHyperService::new(self.router);
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let answer = router.call(request);
            let (slot, room) = (Arc::clone(&slot), room.clone());
            async move {
                // Until then it is not us who is waited for.
                room.free().await;
                slot.working();
                Ok::<_, Infallible>(sent_by(&slot, answer.await?).await)
            }
        });
        let connection = http1::Builder::new()
            .max_header_size(MAX_HEADER)
            .max_buf_size(MAX_BUFFER)
            // Who has said all that it will, as `nc -N` does, still wants the answer.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection ended in the middle");
        }
    }
}

/// The answer, which tells the connection's slot when it has been sent.
async fn sent_by(slot: &Arc<Slot>, answer: Response) -> Response {
    let (head, body) = answer.into_parts();
    // Every page is one piece in memory, so that nothing is copied or waited for here.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    Response::from_parts(head, Body::from(slot.writing(body)))
}

async fn refuse_plain(stream: &mut TcpStream) {
    // What is not read would reset the connection, and the answer with it.
    let mut request = [0; 4096];
    let read = stream.read(&mut request).await;
    let written = stream.write_all(PLAIN_HTTP).await;
    if let Err(error) = read.and(written) {
        debug!(%error, "plain HTTP where TLS is spoken");
    }
}

/// Whether an error of `accept(2)` is of the one connection that was to be taken.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests;
