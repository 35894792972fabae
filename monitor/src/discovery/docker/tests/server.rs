//! A small HTTP server on a Unix socket that answers each path as it is told to.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::Endpoint;

/// What a path is answered with.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// The whole body at once.
    Body(String),
    /// The head promises more than comes.
    Cut(String),
    /// The head, this text, then what is emitted, until the streams are closed.
    Stream(String),
    /// The head and this text; then the stream ends.
    ShortStream(String),
    /// Bytes in place of HTTP.
    Raw(String),
    /// An error.
    Status(u16),
    /// Nothing, ever.
    Hang,
    /// The head, and nothing after it.
    Stall,
}

impl Reply {
    pub(super) fn json(body: &str) -> Self {
        Self::Body(body.to_owned())
    }

    pub(super) fn body(&self) -> String {
        match self {
            Self::Body(body) => body.clone(),
            other => panic!("{other:?} has no body"),
        }
    }
}

pub(super) fn version() -> Reply {
    Reply::json(r#"{"Version":"27.0","Components":[{"Name":"Engine","Version":"27.0"}]}"#)
}

pub(super) fn list(containers: &[(&str, &str)]) -> Reply {
    let entries: Vec<String> = containers
        .iter()
        .map(|(id, name)| format!(r#"{{"Id":"{id}","Names":["/{name}"],"State":"running"}}"#))
        .collect();
    Reply::Body(format!("[{}]", entries.join(",")))
}

pub(super) fn inspect(id: &str, name: &str, pid: u32, network_mode: &str) -> Reply {
    Reply::Body(format!(
        r#"{{"Id":"{id}","Name":"/{name}","Image":"sha256:0",
            "State":{{"Status":"running","Pid":{pid},"StartedAt":"1970-01-01T00:00:01.5Z"}},
            "Config":{{"Image":"image:1","Labels":{{}}}},
            "HostConfig":{{"NetworkMode":"{network_mode}"}}}}"#
    ))
}

#[derive(Debug)]
struct State {
    replies: Mutex<HashMap<String, Reply>>,
    asked: Mutex<Vec<String>>,
    /// A line for the event streams, or none to close them.
    lines: broadcast::Sender<Option<String>>,
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
    /// A healthy runtime without containers.
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self::start_at(&folder.path().join("docker.sock"));
        server._folder = Some(folder);
        server
    }

    pub(super) fn start_at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let state = Arc::new(State {
            replies: Mutex::new(HashMap::from([
                ("/version".to_owned(), version()),
                ("/containers/json".to_owned(), list(&[])),
                ("/events".to_owned(), Reply::Stream(String::new())),
            ])),
            asked: Mutex::default(),
            lines: broadcast::channel(100).0,
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
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
        Endpoint::Unix(self.path.clone())
    }

    pub(super) fn set(&self, path: &str, reply: Reply) {
        self.state
            .replies
            .lock()
            .unwrap()
            .insert(path.to_owned(), reply);
    }

    pub(super) fn get(&self, path: &str) -> Reply {
        self.state.replies.lock().unwrap()[path].clone()
    }

    /// The paths with queries that were asked for so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }

    pub(super) fn emit(&self, action: &str, id: &str) {
        let line = format!(
            r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{{}}}},"scope":"local","time":1,"timeNano":1}}"#
        );
        // Without a listener there is nobody to tell.
        let _ = self.state.lines.send(Some(format!("{line}\n")));
    }

    pub(super) fn close_streams(&self) {
        let _ = self.state.lines.send(None);
    }
}

async fn serve(mut stream: UnixStream, state: Arc<State>) {
    // Listen before the request is known to be one for events, so that nothing is missed.
    let mut lines = state.lines.subscribe();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let target = request.split(' ').nth(1).unwrap().to_owned();
    let path = target.split('?').next().unwrap();
    let reply = state.replies.lock().unwrap().get(path).cloned();
    state.asked.lock().unwrap().push(target.clone());
    let head = |length: usize| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
    };
    let text = match reply.unwrap_or(Reply::Status(404)) {
        Reply::Body(body) => head(body.len()) + &body,
        Reply::Cut(body) => head(body.len() + 1) + &body,
        Reply::Raw(text) => text,
        Reply::Status(status) => {
            format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}")
        }
        Reply::ShortStream(text) => {
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{text}")
        }
        Reply::Stall => {
            let _ = stream.write_all(head(10).as_bytes()).await;
            return std::future::pending().await;
        }
        Reply::Hang => return std::future::pending().await,
        Reply::Stream(first) => {
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
            let mut text = format!("{head}{first}");
            while stream.write_all(text.as_bytes()).await.is_ok() {
                match lines.recv().await {
                    Ok(Some(line)) => text = line,
                    _ => return,
                }
            }
            return;
        }
    };
    let _ = stream.write_all(text.as_bytes()).await;
}
