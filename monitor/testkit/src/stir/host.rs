//! What counts sockets that the whole machine has no memory for: its settings are changed for a
//! moment, which only its own network namespace shows.

use anyhow::{Result, ensure};

use super::inside::Inside;
use super::promise::TCP_EXT;
use super::sysctl::Sysctl;
use super::udp::Udp;
use super::{cpu, tcp};
use crate::netns::Netns;
use crate::sys;

/// Closed sockets that still have to send, of which there may be none: `abort_on_memory`.
pub(super) fn without_orphans(netns: &Netns, count: usize) -> Result<()> {
    let _none = Sysctl::set("net/ipv4/tcp_max_orphans", "0")?;
    netns.enter(|| {
        let inside = Inside::new(netns.pid())?;
        let listener = tcp::listen()?;
        let before = inside.value(&TCP_EXT, "abort_on_memory")?;
        let mut servers = Vec::new();
        for _ in 0..count {
            let (client, server) = tcp::pair(&listener)?;
            sys::receive_nothing(&server)?;
            drop(client);
            servers.push(server);
        }
        // Some end at once, others when they send again: orphans are not counted all the time.
        let wanted = before + count as f64;
        inside.wait_for(&TCP_EXT, "abort_on_memory", wanted)?;
        servers.iter().try_for_each(tcp::abort)
    })
}

/// Datagrams that wait when there is no memory for any: `mem_errors` and `in_errors`, where this
/// kernel shows the first.
pub(super) fn without_udp_memory(netns: &Netns, udp: Udp, count: usize) -> Result<()> {
    /// So many of these fit into a receive buffer as it is by default.
    const FIT: usize = 8;
    const SIZE: usize = 8_000;
    /// So many sockets hold several megabytes: more than each CPU has in reserve, which does not
    /// count.
    const MOST: usize = 200;
    let _none = Sysctl::set("net/ipv4/udp_mem", "0 0 0")?;
    netns.enter(|| {
        let inside = Inside::new(netns.pid())?;
        if inside.value(&udp.block, "mem_errors").is_err() {
            return Ok(());
        }
        cpu::two()?.first().map_or(Ok(()), cpu::pin)?;
        let from = udp.socket()?;
        let mut waiting = Vec::new();
        inside.until_risen(&udp.block, "mem_errors", count, || {
            ensure!(waiting.len() < MOST, "this kernel does not account for UDP");
            let to = udp.socket()?;
            let address = to.local_addr()?;
            waiting.push(to);
            (0..FIT).try_for_each(|_| Ok(from.send_to(&[0; SIZE], address).map(drop)?))
        })
    })
}
