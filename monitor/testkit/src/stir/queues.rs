//! Listeners whose queues are full, and those that answer by cookies.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::Result;
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::inside::Inside;
use super::promise::TCP_EXT;
use super::sysctl::Sysctl;
use super::tcp;
use crate::sys;

/// Whether a listener answers a SYN by a cookie.
const COOKIES: &str = "net/ipv4/tcp_syncookies";

/// A listener with room for a request, and for one connection more.
fn listen() -> Result<(Socket, SockAddr)> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    listener.listen(1)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// A socket that does not wait for an answer.
fn client() -> Result<Socket> {
    let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    client.set_nonblocking(true)?;
    Ok(client)
}

/// Sends a SYN.
fn knock(client: &Socket, at: &SockAddr) -> Result<()> {
    match client.connect(at) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

/// A listener whose accept queue is full.
#[derive(Debug)]
pub(super) struct Full {
    _listener: Socket,
    _accepted: Vec<TcpStream>,
    address: SockAddr,
}

impl Full {
    pub(super) fn new() -> Result<Self> {
        let (listener, address) = listen()?;
        let to = address.as_socket_ipv4().map(SocketAddr::from);
        let mut accepted = Vec::new();
        // The queue holds one more than its length.
        for to in [to, to].into_iter().flatten() {
            accepted.push(TcpStream::connect(to)?);
        }
        Ok(Self {
            _listener: listener,
            _accepted: accepted,
            address,
        })
    }

    /// A client that is not let in.
    pub(super) fn knock(&self) -> Result<Socket> {
        let client = client()?;
        knock(&client, &self.address)?;
        Ok(client)
    }
}

/// SYNs to a full accept queue: `listen_overflows`, and `listen_drops` as well.
pub(super) fn overflows(inside: &Inside, count: usize) -> Result<()> {
    let full = Full::new()?;
    inside.until_risen(&TCP_EXT, "listen_overflows", count, || {
        full.knock().map(drop)
    })
}

/// SYNs to a full queue of requests: `req_q_full_drop`, and `listen_drops` as well.
pub(super) fn requests_dropped(inside: &Inside, count: usize) -> Result<()> {
    let _no_cookies = Sysctl::set(COOKIES, "0")?;
    let (listener, address) = listen()?;
    // Clients that say nothing stay requests.
    sys::defer_accept(&listener, 60)?;
    let mut requests = Vec::new();
    inside.until_risen(&TCP_EXT, "req_q_full_drop", count, || {
        let client = client()?;
        let knocked = knock(&client, &address);
        requests.push(client);
        knocked
    })?;
    // Requests go with their listener, and then the clients are nobody's peers.
    drop(listener);
    for client in &requests {
        tcp::abort(client)?;
    }
    Ok(())
}

/// SYNs that are answered by a cookie, which their clients do not see and the kernel does not get
/// back: `req_q_full_do_cookies`, `syncookies_sent`.
pub(super) fn cookies(inside: &Inside, count: usize) -> Result<()> {
    let _always = Sysctl::set(COOKIES, "2")?;
    let (_listener, address) = listen()?;
    inside.until_risen(&TCP_EXT, "syncookies_sent", count, || {
        let client = client()?;
        sys::receive_nothing(&client)?;
        knock(&client, &address)
    })
}

/// SYNs to be answered by a cookie, were not the accept queue full: `req_q_full_do_cookies`,
/// `listen_overflows` and `listen_drops`.
pub(super) fn cookies_refused(inside: &Inside, count: usize) -> Result<()> {
    let full = Full::new()?;
    let _always = Sysctl::set(COOKIES, "2")?;
    inside.until_risen(&TCP_EXT, "req_q_full_do_cookies", count, || {
        full.knock().map(drop)
    })
}
