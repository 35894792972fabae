//! A listener whose accept queue is full, and clients that wait for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::Where;

/// How many clients wait in SYN_SENT once the queue is full.
pub const WAITING: usize = 4;

/// Listens and never accepts; fills the queue, with one more than its length as the kernel has
/// it, and keeps [`WAITING`] clients in SYN_SENT. Never ends.
///
/// # Errors
/// When the address is taken or sockets can't be made.
pub fn full_accept_queue(at: &Where, backlog: u32) -> Result<()> {
    let at = match *at {
        Where::Port(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        Where::Address(address) => address,
    };
    let backlog_len = usize::try_from(backlog)?;
    super::bounded(backlog_len, 1)?;
    let listener = Where::Address(at).listen(backlog)?;
    let address = listener.local_addr()?;
    let mut clients = Vec::new();
    for _ in 0..=backlog_len + WAITING {
        clients.push(start_connecting(address)?);
        // One after the other, so that the first ones are those that get in.
        std::thread::sleep(Duration::from_millis(5));
    }
    loop {
        std::thread::sleep(Duration::from_secs(5));
        for client in &mut clients {
            // Timed out after its last SYN: another takes its place.
            if client.take_error()?.is_some() {
                *client = start_connecting(address)?;
            }
        }
    }
}

/// A socket that connects in the background.
fn start_connecting(to: SocketAddr) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
            Err(error.into())
        }
        _ => Ok(socket),
    }
}
