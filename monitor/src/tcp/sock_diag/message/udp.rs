//! The messages of sock_diag for UDP sockets: those that are bound, as `/proc/<pid>/net/udp` lists
//! them.
//!
//! Source: `net/ipv4/udp_diag.c`, `net/core/sock_diag.c` (`sock_diag_put_meminfo`) and
//! `include/uapi/linux/sock_diag.h`.

use monitor_ebpf::Family;

use super::wire::{bytes, u32_at};
use super::{
    HEADER, ParseError, Progress, REQUEST_LEN, SOCKET, each, each_attribute, parse_family,
    request_of,
};

/// `INET_DIAG_SKMEMINFO`: numbers of 32 bits, which grew with the kernel.
const INET_DIAG_SKMEMINFO: u16 = 7;
/// `SK_MEMINFO_DROPS`, the place of a number among them (Linux 4.7).
const SK_MEMINFO_DROPS: usize = 8;
/// A UDP socket is in ESTABLISHED, when connected, or in CLOSE.
const ALL_STATES: u32 = u32::MAX;

/// One UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its family; that of a socket made for IPv6 which speaks IPv4 is [`Family::Ipv6`].
    pub family: Family,
    /// Memory of the datagrams that wait to be read, in bytes.
    pub receive_queue: u32,
    /// Memory of the datagrams that are on their way out, in bytes.
    pub send_queue: u32,
    /// Datagrams that found no room since it was made; `None` where the kernel does not tell.
    pub drops: Option<u32>,
}

/// The request for all UDP sockets of a family.
pub fn request(family: Family) -> [u8; REQUEST_LEN] {
    let extensions = 1 << (INET_DIAG_SKMEMINFO - 1);
    request_of(family, libc::IPPROTO_UDP as u8, extensions, ALL_STATES)
}

/// Calls `visit` with every socket of a datagram, as [`parse`](super::parse) does.
///
/// # Errors
/// The datagram is no answer to [`request`], or was cut.
pub fn parse(datagram: &[u8], mut visit: impl FnMut(Socket)) -> Result<Progress, ParseError> {
    each(datagram, |message, at| {
        let body: [u8; SOCKET] = bytes(message, at + HEADER, "a socket")?;
        let mut drops = None;
        each_attribute(message, at + HEADER + SOCKET, |kind, attribute, at| {
            let at = at + 4 * SK_MEMINFO_DROPS;
            // Shorter before the kernel told it.
            if kind == INET_DIAG_SKMEMINFO && attribute.len() >= at + 4 {
                drops = Some(u32::from_ne_bytes(bytes(attribute, at, "drops")?));
            }
            Ok(())
        })?;
        visit(Socket {
            family: parse_family(body[0], at)?,
            receive_queue: u32_at(&body, 56),
            send_queue: u32_at(&body, 60),
            drops,
        });
        Ok(())
    })
}
