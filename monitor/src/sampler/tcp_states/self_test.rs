//! A test of the pass over the socket tables, with sockets of our own: what BTF said of the
//! kernel's structures is believed when what we made is what is found.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use monitor_ebpf::{Family, TcpState};
use socket2::{Domain, Socket, Type};

use crate::ebpf::passes::Passes;
use crate::netns::visit;
use crate::tcp::{SocketTable, StateCounts};

/// The listener's limit: not a number that others choose.
const BACKLOG: i32 = 7;

/// Looks, 5 ms apart, until a FIN is acknowledged that nobody reads: 40 ms, and more where the CPUs
/// are busy.
const ACKNOWLEDGED_AFTER: u32 = 100;

/// Why the pass is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// A pass failed.
    #[error("the pass over the socket tables failed: {0}")]
    Pass(#[source] io::Error),
    /// The sockets that were made are not there, or not as they are.
    #[error(
        "the pass over the socket tables does not find what is there: {0} (BTF does not fit the \
         kernel)"
    )]
    NotFound(String),
}

/// Makes a listener on loopback with a connection in its accept queue, and looks for them; then
/// closes the client's end, and looks for what is left of that. Where there is no loopback,
/// nothing can be tested, and nothing is refused.
///
/// # Errors
/// The pass fails, or does not find them.
pub fn self_test(passes: &mut Passes) -> Result<(), SelfTestError> {
    let Ok((listener, port)) = listen() else {
        return Ok(());
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into();
    let Ok(client) = Socket::new(Domain::IPV4, Type::STREAM, None)
        .and_then(|client| client.connect(&address).map(|()| client))
    else {
        return Ok(());
    };
    let (table, own) = look(passes)?;
    if let Ok(cookie) = visit::own_cookie()
        && passes.has_cookie()
        && cookie != own
    {
        return Err(SelfTestError::NotFound(format!(
            "of the own network namespace's cookie, which is {cookie}, it says {own}"
        )));
    }
    let found = table
        .listeners
        .iter()
        .find(|found| found.key.netns == own && found.port == Some(port));
    let Some(found) = found else {
        return Err(SelfTestError::NotFound(format!(
            "no listener at port {port}"
        )));
    };
    let limit = BACKLOG.cast_unsigned().into();
    if (found.family, found.length, found.limit) != (Family::Ipv4, 1, limit) {
        return Err(SelfTestError::NotFound(format!(
            "of a listener with 1 connection waiting and room for {BACKLOG} it says {} and {}",
            found.length, found.limit
        )));
    }
    let established = sum(&table, own).get(Family::Ipv4, TcpState::Established);
    if established < 2 {
        return Err(SelfTestError::NotFound(format!(
            "of an established connection it sees {established} ends"
        )));
    }
    // The other end keeps its own open: a minisock in FIN_WAIT2 is left, once it has acknowledged.
    drop(client);
    for _ in 0..ACKNOWLEDGED_AFTER {
        let (table, own) = look(passes)?;
        if sum(&table, own).fin_wait2_minisocks(Family::Ipv4) > 0 {
            // Closing the listener resets the connection: nothing is left of it.
            drop(listener);
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(SelfTestError::NotFound(
        "of a connection that one end has closed it sees no minisock in FIN_WAIT2".to_owned(),
    ))
}

fn listen() -> io::Result<(Socket, u16)> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    listener.listen(BACKLOG)?;
    let address = listener.local_addr()?.as_socket();
    let port = address.map(|address| address.port());
    Ok((listener, port.ok_or(io::ErrorKind::AddrNotAvailable)?))
}

/// All sockets, and the key of our own namespace: the first that is told of.
fn look(passes: &mut Passes) -> Result<(SocketTable, u64), SelfTestError> {
    let namespaces = passes.namespaces().map_err(SelfTestError::Pass)?.namespaces;
    let own = namespaces.first().map_or(0, |own| own.key);
    let pass = passes.sockets(&namespaces).map_err(SelfTestError::Pass)?;
    Ok((pass.table, own))
}

/// All sockets of a namespace.
fn sum(table: &SocketTable, own: u64) -> StateCounts {
    let mut sum = StateCounts::default();
    for entry in table.entries.iter().filter(|entry| entry.key.netns == own) {
        sum += &entry.counts;
    }
    sum
}
