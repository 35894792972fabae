//! A small gRPC server on a Unix socket, by hand on HTTP/2, that answers each method as it is told
//! to.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use prost::Message;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::super::Endpoint;
use crate::discovery::socket::Socket;

/// What a method is answered with.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// A message, encoded.
    Message(Vec<u8>),
    /// No message but an error: a code of gRPC, and its text.
    Status(u16, &'static str),
    /// A head that promises more than comes.
    Cut(Vec<u8>),
    /// The stream is reset.
    Reset,
    /// Nothing, ever.
    Hang,
    /// No head before the first event that is emitted, as containerd does it; then one message
    /// each, until the streams are closed.
    Events,
}

impl Reply {
    pub(super) fn of(message: &impl Message) -> Self {
        Self::Message(message.encode_to_vec())
    }
}

/// `UNIMPLEMENTED` of gRPC.
pub(super) const UNIMPLEMENTED: Reply = Reply::Status(12, "unknown service");

#[derive(Debug)]
struct State {
    /// By method: `/service/method`, for the status of one `/service/method id`.
    replies: Mutex<HashMap<String, Reply>>,
    asked: Mutex<Vec<String>>,
    /// True for an event, false to close the streams.
    events: broadcast::Sender<bool>,
}

/// The server; it ends when dropped.
#[derive(Debug)]
pub(super) struct Server {
    path: PathBuf,
    state: Arc<State>,
    task: JoinHandle<()>,
    _folder: Option<tempfile::TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// A server that knows no method.
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self::start_at(&folder.path().join("cri.sock"));
        server._folder = Some(folder);
        server
    }

    pub(super) fn start_at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let state = Arc::new(State {
            replies: Mutex::default(),
            asked: Mutex::default(),
            events: broadcast::channel(100).0,
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            // Connections end with the server.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self {
            path: path.to_owned(),
            state,
            task,
            _folder: None,
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Socket::parse(self.path.to_str().unwrap()).unwrap().into()
    }

    pub(super) fn set(&self, method: &str, reply: Reply) {
        let mut replies = self.state.replies.lock().unwrap();
        replies.insert(method.to_owned(), reply);
    }

    pub(super) fn get(&self, method: &str) -> Reply {
        self.state.replies.lock().unwrap()[method].clone()
    }

    /// How often a method was asked for, with an id where it has one.
    pub(super) fn asked(&self, method: &str) -> usize {
        let asked = self.state.asked.lock().unwrap();
        asked.iter().filter(|line| *line == method).count()
    }

    pub(super) fn emit(&self) {
        // Without a listener there is nobody to tell.
        let _ = self.state.events.send(true);
    }

    pub(super) fn close_streams(&self) {
        let _ = self.state.events.send(false);
    }
}

async fn serve(stream: UnixStream, state: Arc<State>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    let mut calls = tokio::task::JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        calls.spawn(answer(request, respond, Arc::clone(&state)));
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    state: Arc<State>,
) -> Option<()> {
    let mut events = state.events.subscribe();
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut question = Vec::new();
    while let Some(Ok(part)) = body.data().await {
        question.extend_from_slice(&part);
    }
    let with_id = format!("{path} {}", id(&question));
    let reply = {
        let replies = state.replies.lock().unwrap();
        replies.get(&with_id).or(replies.get(&path)).cloned()
    };
    state.asked.lock().unwrap().extend([path, with_id]);
    let head = || {
        Response::builder()
            .header("content-type", "application/grpc")
            .body(())
            .unwrap()
    };
    let reply = reply.unwrap_or(UNIMPLEMENTED);
    match reply {
        Reply::Message(message) => {
            let mut stream = respond.send_response(head(), false).ok()?;
            stream.send_data(frame(&message, 0), false).ok()?;
            stream.send_trailers(status(0, "")).ok()?;
        }
        Reply::Cut(message) => {
            let mut stream = respond.send_response(head(), false).ok()?;
            stream.send_data(frame(&message, 1), false).ok()?;
            stream.send_trailers(status(0, "")).ok()?;
        }
        Reply::Status(code, text) => {
            let mut head = head();
            head.headers_mut().extend(status(code, text));
            respond.send_response(head, true).ok()?;
        }
        Reply::Reset => respond.send_reset(Reason::INTERNAL_ERROR),
        Reply::Hang => std::future::pending().await,
        Reply::Events => {
            let mut stream = None;
            while let Ok(true) = events.recv().await {
                if stream.is_none() {
                    stream = Some(respond.send_response(head(), false).ok()?);
                }
                // An envelope with a topic.
                let envelope = frame(b"\x1a\x02/x", 0);
                stream.as_mut()?.send_data(envelope, false).ok()?;
            }
            match stream {
                Some(mut stream) => stream.send_trailers(status(0, "")).ok()?,
                None => respond.send_reset(Reason::CANCEL),
            }
        }
    }
    Some(())
}

/// A message as gRPC sends it, whose head promises `more` bytes than there are.
fn frame(message: &[u8], more: u32) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap() + more);
    frame.put_slice(message);
    frame.freeze()
}

fn status(code: u16, text: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    trailers.insert("grpc-message", text.parse().unwrap());
    trailers
}

/// The first field of a question, where it is a text.
fn id(question: &[u8]) -> String {
    match question.get(5..) {
        Some([0x0a, length, rest @ ..]) => {
            let id = rest.get(..usize::from(*length)).unwrap_or_default();
            String::from_utf8_lossy(id).into_owned()
        }
        _ => String::new(),
    }
}
