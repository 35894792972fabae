//! One conversation with the kernel over a sock_diag socket.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use monitor_ebpf::Family;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, netlink, recv, send,
    socket_with,
};

use super::collect::Collector;
use super::message::{self, End, ParseError, Progress, REQUEST_LEN};

/// Room for a datagram. The kernel makes its datagrams as big as what the reader has room for, but
/// no bigger than this (`netlink_dump`).
const ROOM: usize = 32 * 1024;

/// Why the sockets of a namespace could not be counted.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The namespace cannot be entered, or the process not be looked at.
    #[error("cannot enter the network namespace: {0}")]
    Enter(#[source] io::Error),
    /// No netlink socket, or nothing can be sent or received.
    #[error("cannot {what}: {source}")]
    Socket {
        /// What cannot be done.
        what: &'static str,
        /// What the kernel said.
        source: Errno,
    },
    /// The kernel does not know sock_diag for TCP (`ENOENT`, which says nothing of a process).
    #[error(
        "the kernel has no sock_diag for TCP (needs CONFIG_INET_DIAG and CONFIG_INET_TCP_DIAG; \
         where they are modules, inet_diag and tcp_diag loaded)"
    )]
    NoTcpDiag,
    /// The same for UDP.
    #[error(
        "the kernel has no sock_diag for UDP (needs CONFIG_INET_DIAG and CONFIG_INET_UDP_DIAG; \
         where they are modules, inet_diag and udp_diag loaded)"
    )]
    NoUdpDiag,
    /// The kernel refuses to answer.
    #[error("the kernel does not list its sockets: {0}")]
    Refused(#[source] io::Error),
    /// The answer did not end in time.
    #[error("the kernel's list of sockets did not end within {0:?}")]
    TimedOut(Duration),
    /// The kernel had no room for its answer, twice.
    #[error("the kernel dropped a part of its answer (ENOBUFS)")]
    Lost,
    /// The answer is longer than the kernel makes it.
    #[error("a datagram of {0} bytes")]
    Oversized(usize),
    /// The answer makes no sense.
    #[error("cannot understand the kernel's answer: {0}")]
    Parse(#[from] ParseError),
}

/// What is asked, and what becomes of the answers.
pub(super) trait Question {
    /// What is made of the answers.
    type Answer: Default;

    /// The request for the sockets of a family.
    fn request(family: Family) -> [u8; REQUEST_LEN];

    /// Adds what a datagram tells.
    fn add(datagram: &[u8], answer: &mut Self::Answer) -> Result<Progress, ParseError>;

    /// The error that stands for `ENOENT`.
    fn missing() -> DumpError;
}

/// TCP sockets by state.
#[derive(Debug)]
pub(super) struct Tcp;

impl Question for Tcp {
    type Answer = Collector;

    fn request(family: Family) -> [u8; REQUEST_LEN] {
        message::request(family)
    }

    fn add(datagram: &[u8], answer: &mut Collector) -> Result<Progress, ParseError> {
        message::parse(datagram, |socket| answer.add(&socket))
    }

    fn missing() -> DumpError {
        DumpError::NoTcpDiag
    }
}

/// Counts all sockets of the calling thread's network namespace, within `limit`. If the kernel
/// says that something went wrong on the way it is asked once more, and whatever it answers then
/// is taken.
///
/// # Errors
/// See [`DumpError`].
pub(super) fn all_sockets<Q: Question>(limit: Duration) -> Result<Q::Answer, DumpError> {
    all_sockets_of::<Q, _>(open, limit)
}

/// As [`all_sockets`], of whoever is at the other end of what `open` opens, for each attempt anew.
pub(super) fn all_sockets_of<Q: Question, S: AsFd>(
    mut open: impl FnMut() -> Result<S, DumpError>,
    limit: Duration,
) -> Result<Q::Answer, DumpError> {
    let mut conversation = Conversation {
        limit,
        deadline: Instant::now() + limit,
        interrupted: false,
        buffer: vec![0; ROOM],
    };
    let mut attempt = || {
        let socket = open()?;
        let mut sockets = Q::Answer::default();
        conversation.interrupted = false;
        for family in Family::ALL {
            conversation.ask::<Q>(socket.as_fd(), family, &mut sockets)?;
        }
        Ok((sockets, conversation.interrupted))
    };
    match attempt() {
        Ok((sockets, false)) => Ok(sockets),
        Ok((_, true)) | Err(DumpError::Lost) => attempt().map(|(sockets, _)| sockets),
        Err(error) => Err(error),
    }
}

/// A sock_diag socket of the calling thread's network namespace.
fn open() -> Result<OwnedFd, DumpError> {
    let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    let protocol = Some(netlink::SOCK_DIAG);
    let socket = socket_with(family, SocketType::RAW, flags, protocol)
        .map_err(|source| failed("open a sock_diag socket", source))?;
    // Connected to the kernel it takes no datagram from anybody else: whoever is root inside could
    // send one.
    connect(&socket, &netlink::SocketAddrNetlink::new(0, 0))
        .map_err(|source| failed("connect a sock_diag socket", source))?;
    Ok(socket)
}

fn failed(what: &'static str, source: Errno) -> DumpError {
    DumpError::Socket { what, source }
}

/// What the questions of one namespace have in common.
struct Conversation {
    limit: Duration,
    deadline: Instant,
    /// Whether the kernel said that an answer may not fit together.
    interrupted: bool,
    buffer: Vec<u8>,
}

impl Conversation {
    /// Asks for the sockets of a family and adds them to `sockets`.
    fn ask<Q: Question>(
        &mut self,
        socket: impl AsFd,
        family: Family,
        sockets: &mut Q::Answer,
    ) -> Result<(), DumpError> {
        send(&socket, &Q::request(family), SendFlags::empty()).map_err(|error| match error {
            Errno::NOBUFS => DumpError::Lost,
            error => failed("ask for sockets", error),
        })?;
        loop {
            let datagram = self.receive(&socket)?;
            let progress = Q::add(datagram, sockets)?;
            self.interrupted |= progress.interrupted;
            match progress.end {
                None => {}
                Some(End::Done) => return Ok(()),
                Some(End::Error(libc::ENOENT)) => return Err(Q::missing()),
                Some(End::Error(code)) => {
                    return Err(DumpError::Refused(io::Error::from_raw_os_error(code)));
                }
            }
        }
    }

    /// The next datagram.
    fn receive(&mut self, socket: impl AsFd) -> Result<&[u8], DumpError> {
        let length = loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(DumpError::TimedOut(self.limit));
            }
            set_socket_timeout(&socket, Timeout::Recv, Some(left))
                .map_err(|source| failed("set a time-out", source))?;
            match recv(&socket, self.buffer.as_mut_slice(), RecvFlags::TRUNC) {
                Ok((_, length)) => break length,
                // At the deadline the loop ends.
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(Errno::NOBUFS) => return Err(DumpError::Lost),
                Err(source) => return Err(failed("receive sockets", source)),
            }
        };
        self.buffer
            .get(..length)
            .ok_or(DumpError::Oversized(length))
    }
}
