//! The end of somebody else's socket: `SOCK_DESTROY`, as `ss -K` asks for it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, netlink, recv, send, socket};

use super::loopback::Loopback;
use crate::require::{Need, Unmet};

/// Types of messages and flags, of `linux/sock_diag.h` and `linux/netlink.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST_AND_ACK: u16 = 1 | 4;
const DUMP: u16 = 0x300;

/// Whether the kernel can: it needs `CONFIG_INET_DIAG_DESTROY`, and the module for TCP.
pub(super) fn is_there(on: Loopback) -> Need {
    let nobody = (on.address(0), on.address(0));
    // A kernel that cannot look at TCP sockets at all does not find any, either.
    let looks = ask(SOCK_DIAG_BY_FAMILY, REQUEST_AND_ACK | DUMP, nobody);
    let destroys = looks.and_then(|()| match ask(SOCK_DESTROY, REQUEST_AND_ACK, nobody) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    });
    destroys.map_err(|error| Unmet(format!("SOCK_DESTROY of TCP sockets: {error}")))
}

/// Ends the socket with these addresses in the namespace of this thread.
pub(super) fn destroy(local: SocketAddr, remote: SocketAddr) -> Result<()> {
    let asked = ask(SOCK_DESTROY, REQUEST_AND_ACK, (local, remote));
    asked.with_context(|| format!("can't destroy the socket of {local} with {remote}"))
}

/// Asks the kernel one thing, and reads what it says first.
fn ask(kind: u16, flags: u16, ends: (SocketAddr, SocketAddr)) -> Result<(), Errno> {
    let protocol = Some(netlink::SOCK_DIAG);
    let socket: OwnedFd = socket(AddressFamily::NETLINK, SocketType::DGRAM, protocol)?;
    send(&socket, &request(kind, flags, ends), SendFlags::empty())?;
    let mut answer = vec![0; 16_384];
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    said(&answer[..length])
}

/// A message with a `struct inet_diag_req_v2`.
fn request(kind: u16, flags: u16, (local, remote): (SocketAddr, SocketAddr)) -> Vec<u8> {
    let family = if local.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let mut message = Vec::with_capacity(72);
    message.extend(72_u32.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Its number and the port of who asks: neither matters here.
    message.extend([0; 8]);
    // No extensions, sockets in any state.
    message.extend([family.as_raw() as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    message.extend(u32::MAX.to_ne_bytes());
    message.extend(local.port().to_be_bytes());
    message.extend(remote.port().to_be_bytes());
    for end in [local, remote] {
        let mut address = match end.ip() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        address.resize(16, 0);
        message.extend(address);
    }
    // Any interface, and any cookie.
    message.extend([0; 4]);
    message.extend([0xff; 8]);
    message
}

/// What the first message of an answer says: an error, or not.
fn said(answer: &[u8]) -> Result<(), Errno> {
    let at = |at: usize| {
        answer
            .get(at..at + 2)?
            .try_into()
            .ok()
            .map(u16::from_ne_bytes)
    };
    let error = match at(4) {
        // Both begin with a negative error number, or 0; the end of a list may have none.
        Some(NLMSG_ERROR | NLMSG_DONE) => answer.get(16..20).and_then(|n| n.try_into().ok()),
        _ => None,
    };
    match error.map_or(0, i32::from_ne_bytes) {
        0 => Ok(()),
        number => Err(Errno::from_raw_os_error(-number)),
    }
}
