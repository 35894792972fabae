//! The sockets that are listened on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be taken; the system may allow less.
const BACKLOG: u32 = 1024;

/// Listens on `address`. `[::]` is every address of IPv4 and IPv6, whatever the system takes it for,
/// and every address of IPv4 where there is no IPv6.
///
/// # Errors
/// It is taken, or none of this machine's.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    if !(address.is_ipv6() && address.ip().is_unspecified()) {
        return TcpListener::bind(address).await;
    }
    match of_both(address) {
        Err(error) if is_for_want_of_ipv6(&error) => {
            let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            TcpListener::bind(SocketAddr::new(all, address.port())).await
        }
        result => result,
    }
}

/// A socket of IPv6 that is one of IPv4 too.
fn of_both(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    // net.ipv6.bindv6only may have it otherwise.
    SockRef::from(&socket).set_only_v6(false)?;
    // As TcpListener::bind does it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Whether this is what a kernel without IPv6 (`ipv6.disable=1`) says to such a socket or address.
fn is_for_want_of_ipv6(error: &io::Error) -> bool {
    let errors = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
    errors
        .iter()
        .any(|one| error.raw_os_error() == Some(one.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn every_address_is_that_of_both_families() {
        let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut loopbacks = vec!["127.0.0.1"];
        // A machine may be without IPv6, or have no address of it, and then has what is left.
        if address.is_ipv6() && std::net::TcpListener::bind("[::1]:0").is_ok() {
            loopbacks.push("::1");
        }
        for ip in loopbacks {
            TcpStream::connect((ip, address.port())).unwrap();
        }
        // The port is taken for both.
        for all in ["0.0.0.0", "[::]"] {
            let again = format!("{all}:{}", address.port()).parse().unwrap();
            let error = listen(again).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{all}");
        }
    }

    #[test]
    fn a_taken_port_is_no_want_of_ipv6() {
        let missing = |errno: Errno| is_for_want_of_ipv6(&errno.into());
        assert!(missing(Errno::AFNOSUPPORT) && missing(Errno::ADDRNOTAVAIL));
        assert!(!missing(Errno::ADDRINUSE) && !missing(Errno::ACCESS));
    }
}
