//! A receiver that has no room.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::inside::Inside;
use super::promise::TCP_EXT;
use super::sysctl::Sysctl;
use super::tcp;
use crate::{sys, wait};

/// What the receiver holds: a part of what it offers at the start, so that its peer may send more.
const HELD: usize = 30_000;
/// How many segments are worth a try. A few are taken on pages that the socket has left over.
const TRIES: usize = 500;

/// A connection whose receiver's buffer was made smaller than what it holds.
fn crowded() -> Result<(TcpStream, TcpStream)> {
    let (mut client, server) = tcp::pair(&tcp::listen()?)?;
    client.set_nodelay(true)?;
    client.write_all(&[0; HELD])?;
    wait::until("data", Duration::from_secs(10), || {
        let waiting = rustix::io::ioctl_fionread(&server)?;
        Ok((waiting >= HELD as u64).then_some(()))
    })?;
    // The kernel makes it the least that there is.
    set_socket_recv_buffer_size(&server, 1)?;
    Ok((client, server))
}

/// Sends segment after segment until a counter has risen, and gives up what was sent: nothing is
/// repeated after this.
fn press(inside: &Inside, counter: &str, count: usize, mut client: TcpStream) -> Result<()> {
    let mut sent = 0;
    inside.until_risen(&TCP_EXT, counter, count, || {
        sent += 1;
        ensure!(sent <= TRIES, "{counter}: all segments are taken");
        Ok(client.write_all(b".")?)
    })?;
    tcp::abort(&client)
}

/// Segments that there is no room for though they are the next ones: `rcv_q_drop`, and
/// `prune_called` as often.
pub(super) fn drops(inside: &Inside, count: usize) -> Result<()> {
    for _ in 0..count {
        // After the first the receiver offers nothing any more.
        let (client, _server) = crowded()?;
        press(inside, "rcv_q_drop", 1, client)?;
    }
    Ok(())
}

/// Segments that there is no room for and that follow a lost one: `prune_called`, in vain, which
/// the kernel counts as `RcvPruned` too.
pub(super) fn prunes_in_vain(inside: &Inside, count: usize) -> Result<()> {
    let (mut client, server) = crowded()?;
    lose(&mut client, &server)?;
    press(inside, "prune_called", count, client)
}

/// Segments that there is no room for before the buffer grows, as it may where nobody has set its
/// size: `prune_called` alone. Each follows a lost one, so that no two can be made one.
pub(super) fn prunes(inside: &Inside, count: usize) -> Result<()> {
    let small = Sysctl::set("net/ipv4/tcp_rmem", "4096 4608 6291456")?;
    let (mut client, server) = tcp::pair(&tcp::listen()?)?;
    drop(small);
    client.set_nodelay(true)?;
    let mut sent = 0;
    inside.until_risen(&TCP_EXT, "prune_called", count, || {
        sent += 1;
        ensure!(sent <= TRIES, "prune_called: all segments are taken");
        lose(&mut client, &server)?;
        Ok(client.write_all(b".")?)
    })?;
    tcp::abort(&client)
}

/// Sends a segment that does not arrive.
fn lose(client: &mut TcpStream, server: &TcpStream) -> Result<()> {
    sys::receive_nothing(server)?;
    client.write_all(b".")?;
    Ok(sys::receive_again(server)?)
}
