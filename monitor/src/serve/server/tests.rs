//! Clients over real connections, against a page that is larger than what a connection holds.

use axum::routing::get;
use tokio::time::timeout;

use super::*;

/// More than the buffers of both ends hold.
const LARGE: usize = 16 << 20;

/// How long what is near takes at most.
const SOON: Duration = Duration::from_secs(10);

struct Running {
    server: Server,
    address: std::net::SocketAddr,
    stop: watch::Sender<()>,
}

impl Running {
    async fn start() -> io::Result<Self> {
        let router = Router::new()
            .route("/", get(|| async { vec![b'x'; LARGE] }))
            .route("/small", get(|| async { "ok\n" }));
        let server = Server::new(router, Arc::new(Web::new(None)), 10);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(());
        tokio::spawn(server.clone().run(listener, stopped));
        Ok(Self {
            server,
            address,
            stop,
        })
    }

    /// Sends requests and reads nothing but the first byte.
    async fn ask(&self, requests: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(requests.as_bytes()).await?;
        stream.read_exact(&mut [0]).await?;
        Ok(stream)
    }
}

#[tokio::test]
async fn whoever_asks_on_and_does_not_read_is_let_go_of() -> io::Result<()> {
    let plain = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let with_body =
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello";
    for request in [plain, with_body] {
        let running = Running::start().await?;
        let mut client = running.ask(&request.repeat(20)).await?;
        // All that can be sent without a reader has been.
        sleep(Duration::from_millis(300)).await;
        let later = Instant::now() + Duration::from_secs(31);
        running.server.connections.close_late(later);
        let read = async {
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.map(|_| rest.len())
        };
        let read = timeout(SOON, read).await.map_err(io::Error::other)?;
        assert!(!matches!(read, Ok(length) if length >= LARGE), "{read:?}");
    }
    Ok(())
}

/// Who has asked and says that nothing more will come still gets the answer.
#[tokio::test]
async fn a_client_may_close_its_half() -> io::Result<()> {
    let running = Running::start().await?;
    for page in ["/small", "/"] {
        let mut client = TcpStream::connect(running.address).await?;
        let request = format!("GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await?;
        client.shutdown().await?;
        let mut answer = Vec::new();
        let read = timeout(SOON, client.read_to_end(&mut answer)).await;
        read.map_err(io::Error::other)??;
        assert!(
            answer.starts_with(b"HTTP/1.1 200 OK"),
            "{page}: {} bytes",
            answer.len()
        );
        assert!(
            page == "/small" || answer.len() > LARGE,
            "{} bytes",
            answer.len()
        );
    }
    Ok(())
}

#[tokio::test]
async fn heads_that_nobody_reads_are_not_kept() -> io::Result<()> {
    let running = Running::start().await?;
    let (mut client, stream) = tokio::io::duplex(16 << 10);
    let slot = Arc::new(running.server.connections.open());
    let stopped = running.stop.subscribe();
    tokio::spawn(running.server.clone().requests(stream, slot, stopped));
    // After a body hyper takes the next request at once.
    let request = "HEAD /small HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\
        Expect: 100-continue\r\n\r\nhello";
    let mut written = 0;
    let wait = Duration::from_secs(1);
    while timeout(wait, client.write_all(request.as_bytes()))
        .await
        .is_ok()
    {
        written += request.len();
        assert!(written < 1 << 20, "{written} bytes of requests were taken");
        // Each alone: what comes together is read together.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }
    // Whoever reads at last gets them.
    let mut answers = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&answers);
            if text.matches("HTTP/1.1 200 OK").count() >= written / request.len() {
                return Ok::<_, io::Error>(());
            }
            if client.read_buf(&mut answers).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    timeout(SOON, read).await.map_err(io::Error::other)?
}
