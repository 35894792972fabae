//! A socket that is in use for so long that what arrives for it meanwhile is too much.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use socket2::Protocol;

use super::inside::Inside;
use super::page::Page;
use super::promise::TCP_EXT;
use super::{raw, tcp};

/// How far apart the segments are in the stream: those that follow each other would be made one.
const APART: usize = 1_000;
/// More than enough to fill the backlog: it takes 64 KiB and both buffers.
const MOST: u32 = 5_000_000;

/// Segments for a socket whose backlog is full: `backlog_drop`. The socket is in use while its
/// reader waits for a page.
pub(super) fn drops(inside: &Inside, count: usize) -> Result<()> {
    let listener = tcp::listen()?;
    let (mut client, server) = tcp::pair(&listener)?;
    set_socket_recv_buffer_size(&server, 1)?;
    set_socket_send_buffer_size(&server, 1)?;
    // Later the socket itself can't be asked.
    let (from, to) = (client.local_addr()?, server.local_addr()?);
    let mut page = Page::new()?;
    let watch = page.watch().context("userfaultfd")?;
    client.write_all(b".")?;
    let (mut reading, bytes) = (&server, page.bytes());
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || reading.read(bytes));
        // Dropped when this ends, however: then the reader goes on.
        let watch = watch;
        let mut wait = [PollFd::new(&watch, PollFlags::IN)];
        let limit = Timespec::try_from(Duration::from_secs(10))?;
        ensure!(poll(&mut wait, Some(&limit))? == 1, "nobody reads");
        let flooded = flood(inside, count, from, to);
        drop(watch);
        let read = reader.join().map_err(|_| anyhow::anyhow!("the reader"))??;
        ensure!(read == 1, "{read} bytes of 1");
        flooded
    })
}

/// Sends segments of a connection until the receiver has dropped as many.
fn flood(inside: &Inside, count: usize, from: SocketAddr, to: SocketAddr) -> Result<()> {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else {
        return Ok(());
    };
    let (socket, address) = raw::socket((*to.ip()).into(), Protocol::TCP)?;
    let mut numbers = (0..MOST).step_by(APART);
    inside.until_risen(&TCP_EXT, "backlog_drop", count, || {
        let seq = numbers.next().context("the backlog takes everything")?;
        socket.send_to(&raw::segment(from, to, seq), &address.into())?;
        Ok(())
    })
}
