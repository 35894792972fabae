//! Sockets in every state that can be held still, on loopback in a network namespace.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use socket2::{Domain, SockRef, Socket, Type};

/// How long a listener that defers waits for data, in seconds: longer than a test.
const DEFER: libc::c_int = 60;

/// Sockets that stay as they are until this is dropped.
#[derive(Default)]
pub(crate) struct Scene {
    listeners: Vec<TcpListener>,
    streams: Vec<TcpStream>,
    others: Vec<Socket>,
}

impl Scene {
    /// Makes sockets in the calling thread's namespace, with ports from `port` on. Clients speak
    /// to `address`, listeners listen at `listen`. There will be:
    ///
    /// | state | of the listener's family | of the client's |
    /// |---|---|---|
    /// | LISTEN | 5 | |
    /// | ESTABLISHED | 5, of which 3 wait to be accepted | 5, one of which waits for the request |
    /// | SYN_SENT | | 1 |
    /// | SYN_RECV | 1, a request | |
    /// | FIN_WAIT1 | | 1 |
    /// | FIN_WAIT2 | 1 | 2, one of which is a minisock |
    /// | TIME_WAIT | | 1 |
    /// | CLOSE_WAIT | 2 | |
    /// | LAST_ACK | | 1 |
    pub(crate) fn play(&mut self, listen: IpAddr, address: IpAddr, port: u16) -> Result<()> {
        let server = |port| SocketAddr::new(listen, port);
        let client = |port| SocketAddr::new(address, port);

        let listener = self.listen(server(port), 16, &|_| Ok(()))?;
        // ESTABLISHED.
        let pair = self.pair(listener, client(port))?;
        self.keep(pair);
        // FIN_WAIT2 with its socket, and CLOSE_WAIT.
        let (half, open) = self.pair(listener, client(port))?;
        half.shutdown(std::net::Shutdown::Write)?;
        self.keep((half, open));
        // FIN_WAIT2 without: a minisock.
        let (closed, open) = self.pair(listener, client(port))?;
        drop(closed);
        self.streams.push(open);
        // TIME_WAIT. The server closes when it has seen that its client did.
        let (closed, mut open) = self.pair(listener, client(port))?;
        drop(closed);
        std::io::copy(&mut open, &mut std::io::sink())?;
        drop(open);
        // FIN_WAIT1: what was sent before the end is still to be delivered.
        let (full, open) = self.pair(listener, client(port))?;
        fill(&full)?;
        full.shutdown(std::net::Shutdown::Write)?;
        self.keep((full, open));
        // LAST_ACK, likewise, and FIN_WAIT2 of the server.
        let (mut full, open) = self.pair(listener, client(port))?;
        fill(&full)?;
        open.shutdown(std::net::Shutdown::Write)?;
        full.set_nonblocking(false)?;
        std::io::copy(&mut full, &mut std::io::sink())?;
        full.shutdown(std::net::Shutdown::Write)?;
        self.keep((full, open));
        // One that waits to be accepted.
        self.streams.push(TcpStream::connect(client(port))?);

        // A queue for one, which has one in it, and a client in SYN_SENT.
        self.listen(server(port + 1), 0, &|_| Ok(()))?;
        self.streams.push(TcpStream::connect(client(port + 1))?);
        let late = Socket::new(Domain::for_address(client(port + 1)), Type::STREAM, None)?;
        late.set_nonblocking(true)?;
        let late_result = late.connect(&client(port + 1).into());
        let in_progress = late_result
            .is_err_and(|error| error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()));
        ensure!(in_progress, "the queue has room");
        self.others.push(late);

        // A request: the handshake does not end before the client says something, which it
        // does not know.
        self.listen(server(port + 2), 16, &defer)?;
        self.streams.push(TcpStream::connect(client(port + 2))?);

        // Two listeners of one port, and one connection that waits at either.
        for backlog in [3, 4] {
            self.listen(server(port + 3), backlog, &|socket| {
                socket.set_reuse_port(true)
            })?;
        }
        self.streams.push(TcpStream::connect(client(port + 3))?);

        // Only bound: in no state.
        let bound = Socket::new(Domain::for_address(server(0)), Type::STREAM, None)?;
        bound.bind(&server(0).into())?;
        self.others.push(bound);
        Ok(())
    }

    /// Makes `count` connections to a listener of their own.
    pub(crate) fn crowd(&mut self, address: SocketAddr, count: usize) -> Result<()> {
        let listener = self.listen(address, 16, &|_| Ok(()))?;
        for _ in 0..count {
            let pair = self.pair(listener, address)?;
            self.keep(pair);
        }
        Ok(())
    }

    /// Listens, and gives the listener's place.
    fn listen(
        &mut self,
        at: SocketAddr,
        backlog: i32,
        prepare: &dyn Fn(&Socket) -> std::io::Result<()>,
    ) -> Result<usize> {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
        if at.is_ipv6() {
            // At the unspecified address for both families.
            socket.set_only_v6(!at.ip().is_unspecified())?;
        }
        prepare(&socket)?;
        socket.bind(&at.into())?;
        socket.listen(backlog)?;
        self.listeners.push(socket.into());
        Ok(self.listeners.len() - 1)
    }

    /// A connection: the client's end and the server's.
    fn pair(&self, listener: usize, to: SocketAddr) -> Result<(TcpStream, TcpStream)> {
        let client = TcpStream::connect(to).with_context(|| format!("no connection to {to}"))?;
        let (server, peer) = self.listeners[listener].accept()?;
        ensure!(peer.port() == client.local_addr()?.port());
        Ok((client, server))
    }

    fn keep(&mut self, (client, server): (TcpStream, TcpStream)) {
        self.streams.extend([client, server]);
    }
}

/// Sends until the peer, which does not read, takes no more.
fn fill(mut stream: &TcpStream) -> Result<()> {
    SockRef::from(stream).set_send_buffer_size(4096)?;
    stream.set_nonblocking(true)?;
    let chunk = [0; 64 * 1024];
    // What was not taken at once may fit in a moment, when the peer's window has grown.
    for _ in 0..20 {
        while stream.write(&chunk).is_ok() {}
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let error = stream.write(&chunk).err().map(|error| error.kind());
    ensure!(error == Some(std::io::ErrorKind::WouldBlock));
    Ok(())
}

/// `TCP_DEFER_ACCEPT`.
fn defer(socket: &Socket) -> std::io::Result<()> {
    let seconds = DEFER;
    // SAFETY: the value is a c_int, and its length is said.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of_val(&seconds) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}
