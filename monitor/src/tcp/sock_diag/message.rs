//! The messages of sock_diag: the request for all TCP sockets of a family, and a parser of the
//! answer.
//!
//! Source: `include/uapi/linux/netlink.h`, `sock_diag.h` and `inet_diag.h`. A dump has no word for
//! what kind of entry a message describes, but the kernel fills each kind in another way
//! (`net/ipv4/inet_diag.c`, and `tcp_diag.c` since 6.18; read in 6.1 and 6.18):
//!
//! - Only a minisock has timer 3, "a TIME_WAIT timer is active" (sock_diag(7)). Its state is its
//!   substate: TIME_WAIT or FIN_WAIT2.
//! - A request is shown in SYN_RECV. A full socket can be in that state too (TCP Fast Open,
//!   simultaneous open), but has `INET_DIAG_SHUTDOWN`, which is put for every full socket,
//!   whoever asks, and for nothing else.
//! - `INET_DIAG_CGROUP_ID` is put for full sockets alone, and only by a kernel with
//!   `CONFIG_SOCK_CGROUP_DATA`; so it does not serve to tell them. Nor does the socket's inode
//!   number, 0 also for a connection that waits to be accepted.

pub mod udp;
mod wire;

use monitor_ebpf::{Family, TcpState};

pub use wire::ParseError;
use wire::{ALIGNMENT, bytes, end, u16_at, u32_at};

/// `SOCK_DIAG_BY_FAMILY`: the type of the request and of every socket in the answer.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
/// Something changed while the kernel was answering.
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `struct nlmsghdr`: length, type, flags, sequence number, sender.
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, a socket's id.
const REQUEST: usize = 56;
/// `struct inet_diag_msg`.
const SOCKET: usize = 72;
/// `struct nlattr`: length and type, before a value.
const ATTRIBUTE: usize = 4;
/// The bits of an attribute's type that are no flags.
const ATTRIBUTE_TYPE: u16 = 0x3fff;
const INET_DIAG_SHUTDOWN: u16 = 8;
/// Linux 5.9.
const INET_DIAG_CGROUP_ID: u16 = 21;
/// `idiag_timer` of what TIME_WAIT leaves of a connection.
const TIME_WAIT_TIMER: u8 = 3;
/// All states from ESTABLISHED to `TCP_NEW_SYN_RECV`, which is how the kernel filters requests.
/// Not 13, sockets that are only bound (Linux 6.8): no file of the kernel counts them.
const STATES: u32 = 0x1ffe;

/// What an entry of the kernel's tables is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A socket.
    Full,
    /// What TIME_WAIT leaves of a connection, in TIME_WAIT or FIN_WAIT2.
    Minisock,
    /// What stands for a connection until its handshake has ended.
    Request,
}

/// The accept queue of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The port that the socket listens at.
    pub port: u16,
    /// Connections that wait to be accepted (`sk_ack_backlog`).
    pub length: u32,
    /// How many may wait (`sk_max_ack_backlog`).
    pub limit: u32,
}

/// One entry of the kernel's TCP tables, as a dump shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its family; that of a socket made for IPv6 which speaks IPv4 is [`Family::Ipv6`].
    pub family: Family,
    /// Its state as the kernel shows it, 1 to 11: a request is in SYN_RECV, a minisock in its
    /// substate.
    pub state: u8,
    /// What it is.
    pub kind: Kind,
    /// The id of the cgroup that it was made in; 0 for what is no full socket, and where the
    /// kernel does not tell (before Linux 5.9).
    pub cgroup: u64,
    /// Its accept queue, if it listens.
    pub queue: Option<Queue>,
}

impl Socket {
    /// The state that [`StateCounts::add`](crate::tcp::StateCounts::add) counts it by.
    pub fn counted_state(&self) -> u8 {
        const FIN_WAIT2: u8 = TcpState::FinWait2 as u8;
        match (self.kind, self.state) {
            (Kind::Request, _) => TcpState::REQUEST,
            (Kind::Minisock, FIN_WAIT2) => TcpState::FIN_WAIT2_MINISOCK,
            (_, state) => state,
        }
    }
}

/// How far the answer is after a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The kernel says that what it showed so far may not fit together.
    pub interrupted: bool,
    /// How the answer ended; `None` if more is to come.
    pub end: Option<End>,
}

/// The end of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is whole.
    Done,
    /// An error, in the kernel's numbers.
    Error(i32),
}

/// The bytes of a request.
pub const REQUEST_LEN: usize = HEADER + REQUEST;

/// The request for all TCP sockets of a family.
pub fn request(family: Family) -> [u8; REQUEST_LEN] {
    request_of(family, libc::IPPROTO_TCP as u8, 0, STATES)
}

/// The request for the sockets of a family and protocol that are in one of `states`, with the
/// attributes that `extensions` names, a bit each.
fn request_of(family: Family, protocol: u8, extensions: u8, states: u32) -> [u8; REQUEST_LEN] {
    let mut request = [0; REQUEST_LEN];
    let length = REQUEST_LEN as u32;
    request[..4].copy_from_slice(&length.to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    let body = &mut request[HEADER..];
    body[0] = match family {
        Family::Ipv4 => libc::AF_INET as u8,
        Family::Ipv6 => libc::AF_INET6 as u8,
    };
    body[1] = protocol;
    body[2] = extensions;
    body[4..8].copy_from_slice(&states.to_ne_bytes());
    request
}

/// Calls `visit` with every socket of a datagram, in the kernel's order. What comes after the end
/// of the answer is not looked at.
///
/// # Errors
/// The datagram is no answer to [`request`], or was cut. What was visited before the error is then
/// not to be trusted.
pub fn parse(datagram: &[u8], mut visit: impl FnMut(Socket)) -> Result<Progress, ParseError> {
    each(datagram, |message, at| {
        visit(parse_socket(message, at)?);
        Ok(())
    })
}

/// Calls `visit` with every message of a datagram that is a socket's, and where it begins: it ends
/// with the slice.
fn each(
    datagram: &[u8],
    mut visit: impl FnMut(&[u8], usize) -> Result<(), ParseError>,
) -> Result<Progress, ParseError> {
    let mut progress = Progress::default();
    let mut at = 0;
    // The kernel never sends an empty datagram: without a header nothing is right.
    while at < datagram.len() || at == 0 {
        let header: [u8; HEADER] = bytes(datagram, at, "a message header")?;
        let length = u32_at(&header, 0) as usize;
        let kind = u16_at(&header, 4);
        let flags = u16_at(&header, 6);
        let message = &datagram[..end(datagram, at, length, HEADER, "the message")?];
        progress.interrupted |= flags & NLM_F_DUMP_INTR != 0;
        match kind {
            SOCK_DIAG_BY_FAMILY => visit(message, at)?,
            NLMSG_ERROR | NLMSG_DONE => {
                let code: [u8; 4] = bytes(message, at + HEADER, "an error code")?;
                progress.end = match i32::from_ne_bytes(code) {
                    // Errors are negative, as everywhere in the kernel; that of a dump which could
                    // not begin may stand in its end.
                    code @ ..0 => Some(End::Error(code.saturating_neg())),
                    _ if kind == NLMSG_DONE => Some(End::Done),
                    // An acknowledgement.
                    _ => None,
                };
                if progress.end.is_some() {
                    return Ok(progress);
                }
            }
            kind => return Err(ParseError::Type { at, kind }),
        }
        at = message.len().next_multiple_of(ALIGNMENT);
    }
    Ok(progress)
}

/// Parses the message that begins at `at` and ends with `message`.
fn parse_socket(message: &[u8], at: usize) -> Result<Socket, ParseError> {
    let body: [u8; SOCKET] = bytes(message, at + HEADER, "a socket")?;
    let [family, state, timer, ..] = body;
    let family = parse_family(family, at)?;
    if !(TcpState::Established as u8..=TcpState::Closing as u8).contains(&state) {
        return Err(ParseError::State { at, state });
    }
    let attributes = Attributes::parse(message, at + HEADER + SOCKET)?;
    let kind = if timer == TIME_WAIT_TIMER {
        Kind::Minisock
    } else if state == TcpState::SynRecv as u8 && !attributes.has_shutdown {
        Kind::Request
    } else {
        Kind::Full
    };
    let queue = (state == TcpState::Listen as u8).then(|| Queue {
        port: u16::from_be_bytes([body[4], body[5]]),
        length: u32_at(&body, 56),
        limit: u32_at(&body, 60),
    });
    Ok(Socket {
        family,
        state,
        kind,
        cgroup: attributes.cgroup,
        queue,
    })
}

fn parse_family(family: u8, at: usize) -> Result<Family, ParseError> {
    match i32::from(family) {
        libc::AF_INET => Ok(Family::Ipv4),
        libc::AF_INET6 => Ok(Family::Ipv6),
        _ => Err(ParseError::Family { at, family }),
    }
}

/// What the attributes of a socket say.
#[derive(Default)]
struct Attributes {
    has_shutdown: bool,
    cgroup: u64,
}

impl Attributes {
    /// Parses the attributes from `at` to the end of `message`.
    fn parse(message: &[u8], at: usize) -> Result<Self, ParseError> {
        let mut attributes = Self::default();
        each_attribute(message, at, |kind, attribute, at| {
            match kind {
                INET_DIAG_SHUTDOWN => attributes.has_shutdown = true,
                INET_DIAG_CGROUP_ID => {
                    let id = bytes(attribute, at, "a cgroup id")?;
                    attributes.cgroup = u64::from_ne_bytes(id);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(attributes)
    }
}

/// Calls `visit` with the type of each attribute from `at` to the end of `message`, the message up
/// to the attribute's end, and where its value begins.
fn each_attribute(
    message: &[u8],
    mut at: usize,
    mut visit: impl FnMut(u16, &[u8], usize) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    while at < message.len() {
        let header: [u8; ATTRIBUTE] = bytes(message, at, "an attribute header")?;
        let length = usize::from(u16_at(&header, 0));
        let attribute = &message[..end(message, at, length, ATTRIBUTE, "the attribute")?];
        visit(
            u16_at(&header, 2) & ATTRIBUTE_TYPE,
            attribute,
            at + ATTRIBUTE,
        )?;
        at = attribute.len().next_multiple_of(ALIGNMENT);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
