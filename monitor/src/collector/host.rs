//! The host's own values, which every network namespace's files show and one is enough to read.

use std::io;

use tracing::debug;

use crate::metrics::HostValues;
use crate::netns::visit;
use crate::procfs::{ProcFs, Process};

/// Reads the values. What cannot be read is absent.
pub(super) fn sample(procfs: &ProcFs, init: &Process, buffer: &mut Vec<u8>) -> HostValues {
    let mut values = HostValues::default();
    let page_size = rustix::param::page_size() as u64;
    let sockstat = init.read(c"net/sockstat", buffer).and_then(|()| {
        values
            .read_sockstat(buffer, page_size)
            .map_err(io::Error::other)
    });
    let limits = read_tcp_mem(procfs, init, buffer).and_then(|()| {
        values
            .read_tcp_mem(buffer, page_size)
            .map_err(io::Error::other)
    });
    for error in [sockstat, limits].into_iter().filter_map(Result::err) {
        debug!(%error, "a value of the host cannot be read");
    }
    values
}

/// Reads `net.ipv4.tcp_mem`, which only the host's namespace has.
fn read_tcp_mem(procfs: &ProcFs, init: &Process, buffer: &mut Vec<u8>) -> io::Result<()> {
    const PATH: &str = "sys/net/ipv4/tcp_mem";
    match procfs.read(PATH, buffer) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = visit::in_each(&[init], |_| {
                let mut text = Vec::new();
                procfs.read(PATH, &mut text).map(|()| text)
            });
            *buffer = text.into_iter().next().unwrap_or(Err(error))?;
            Ok(())
        }
        result => result,
    }
}
