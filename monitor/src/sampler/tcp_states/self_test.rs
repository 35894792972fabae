//! A test of the pass over the socket tables, with sockets of our own: what BTF said of the
//! kernel's structures is believed when what we made is what is found.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use monitor_ebpf::{Family, TcpState};
use socket2::{Domain, Socket, Type};

use crate::ebpf::passes::Passes;
use crate::netns::visit;
use crate::tcp::{SocketTable, StateCounts};

/// The listener's limit: not a number that others choose.
const BACKLOG: i32 = 7;

/// When at the latest what was made must be there: interrupts that are put off on a busy CPU, and
/// an acknowledgement that waits for data to go with (40 ms), have come by then.
const PATIENCE: Duration = Duration::from_millis(800);

/// When an acknowledgement has come where the CPUs are not busy.
const ACKNOWLEDGED: Duration = Duration::from_millis(100);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

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
    let cookie = visit::own_cookie().ok().filter(|_| passes.has_cookie());
    until(passes, |_, table, own| open(table, own, cookie, port))?;
    drop(client);
    until(passes, closed)?;
    // This resets the connection: nothing is left of it.
    drop(listener);
    Ok(())
}

/// Looks until `check` is content with the time that it took so far, all sockets, and the key of
/// our own namespace.
fn until(
    passes: &mut Passes,
    check: impl Fn(Duration, &SocketTable, u64) -> Result<(), String>,
) -> Result<(), SelfTestError> {
    let start = Instant::now();
    loop {
        let namespaces = passes.namespaces().map_err(SelfTestError::Pass)?.namespaces;
        // The caller's own is the first that is told of.
        let own = namespaces.first().map_or(0, |own| own.key);
        let pass = passes.sockets(&namespaces).map_err(SelfTestError::Pass)?;
        match check(start.elapsed(), &pass.table, own) {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > PATIENCE => return Err(SelfTestError::NotFound(error)),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// The listener with its one waiting connection, and both ends of that.
fn open(table: &SocketTable, own: u64, cookie: Option<u64>, port: u16) -> Result<(), String> {
    if let Some(cookie) = cookie.filter(|cookie| *cookie != own) {
        return Err(format!(
            "of the own network namespace's cookie, which is {cookie}, it says {own}"
        ));
    }
    let found = table
        .listeners
        .iter()
        .find(|found| found.key.netns == own && found.port == Some(port))
        .ok_or_else(|| format!("no listener at port {port}"))?;
    let limit = BACKLOG.cast_unsigned().into();
    if (found.family, found.length, found.limit) != (Family::Ipv4, 1, limit) {
        return Err(format!(
            "of a listener with 1 connection waiting and room for {BACKLOG} it says {} and {}",
            found.length, found.limit
        ));
    }
    match sum(table, own).get(Family::Ipv4, TcpState::Established) {
        ends @ 0..2 => Err(format!("of an established connection it sees {ends} ends")),
        _ => Ok(()),
    }
}

/// What is left of the end that was closed, while the other one keeps its own open: a minisock in
/// FIN_WAIT2. Where the acknowledgement came while the socket was still being closed, it stays a
/// full socket for a minute (`tcp_rcv_state_process`), and there is no minisock to be looked for.
fn closed(after: Duration, table: &SocketTable, own: u64) -> Result<(), String> {
    let sum = sum(table, own);
    let stays_full = after >= ACKNOWLEDGED && sum.fin_wait2_full(Family::Ipv4) > 0;
    if sum.fin_wait2_minisocks(Family::Ipv4) > 0 || stays_full {
        return Ok(());
    }
    Err("of a connection that one end has closed it sees no minisock in FIN_WAIT2".to_owned())
}

fn listen() -> io::Result<(Socket, u16)> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    listener.listen(BACKLOG)?;
    let address = listener.local_addr()?.as_socket();
    let port = address.map(|address| address.port());
    Ok((listener, port.ok_or(io::ErrorKind::AddrNotAvailable)?))
}

/// All sockets of a namespace.
fn sum(table: &SocketTable, own: u64) -> StateCounts {
    let mut sum = StateCounts::default();
    for entry in table.entries.iter().filter(|entry| entry.key.netns == own) {
        sum += &entry.counts;
    }
    sum
}
