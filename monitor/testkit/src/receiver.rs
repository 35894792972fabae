//! A server that takes what is pushed and answers as the test says, badly too.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

/// What was sent.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Method and path.
    pub target: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// The value of a header; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }
}

/// How it is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// With a status, further header lines and a body.
    Status(u16, &'static str, Vec<u8>),
    /// Not at all: the connection stays open.
    Nothing,
    /// By the end of the connection.
    Close,
}

impl Reply {
    /// A status and nothing else.
    pub fn status(status: u16) -> Self {
        Self::Status(status, "", Vec::new())
    }
}

/// The server; it ends with this guard.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts one on a port that the kernel gives. `answer` gets the number of the request, from 0
    /// on, and the request.
    ///
    /// # Errors
    /// There is no port.
    pub fn start(answer: impl FnMut(usize, &Received) -> Reply + Send + 'static) -> Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer)
    }

    /// Starts one at an address, such as that of one that ended.
    ///
    /// # Errors
    /// The address is taken.
    pub fn start_at(
        address: SocketAddr,
        answer: impl FnMut(usize, &Received) -> Reply + Send + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).context("no port for a receiver")?;
        let address = listener.local_addr()?;
        let received = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (received, stop) = (Arc::clone(&received), Arc::clone(&stop));
            move || serve(&listener, &received, &stop, answer)
        });
        Ok(Self {
            address,
            received,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it got until now.
    pub fn received(&self) -> Vec<Received> {
        let received = self.received.lock();
        received.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it; gives all that it got, to the last.
    pub fn stop(mut self) -> Vec<Received> {
        self.end();
        self.received()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // It waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
        }
    }
}

fn serve(
    listener: &TcpListener,
    received: &Mutex<Vec<Received>>,
    stop: &AtomicBool,
    mut answer: impl FnMut(usize, &Received) -> Reply,
) {
    let mut held = Vec::new();
    for stream in listener.incoming() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        let Ok(request) = read(&stream) else { continue };
        let number = {
            let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
            received.push(request.clone());
            received.len() - 1
        };
        match answer(number, &request) {
            Reply::Close => {}
            Reply::Nothing => held.push(stream),
            Reply::Status(status, headers, body) => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
                    body.len()
                );
                // Whoever went away is not waiting.
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            }
        }
    }
}

fn read(stream: &TcpStream) -> Result<Received> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut request = Received {
        target: line.trim_end_matches(" HTTP/1.1\r\n").to_owned(),
        ..Received::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        let pair = (name.to_ascii_lowercase(), value.to_owned());
        request.headers.push(pair);
    }
    let length = request.header("content-length").parse()?;
    request.body = vec![0; length];
    reader.read_exact(&mut request.body)?;
    Ok(request)
}
