//! Families and states that a socket can be held in.

/// How the kernel's socket speaks to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// An IPv4 socket, over IPv4.
    V4,
    /// An IPv6 socket, over IPv6.
    V6,
    /// An IPv6 socket, over IPv4: its addresses are `::ffff:10.77.0.1` and the like.
    Mapped,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Mapped];

    /// The value of the metric label: the family of the socket, not of its packets.
    pub fn label(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 | Self::Mapped => "ipv6",
        }
    }
}

/// A state in the kernel's tables, with the kind of entry where there are two of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// A listener that nobody connects to. For ever.
    Listen,
    /// The peer never answers. For two minutes.
    SynSent,
    /// The peer never acknowledges the SYN-ACK: a request, no socket yet, which needs a listener
    /// beside it. For one minute.
    SynRecv,
    /// Both ends connected at once and the peer does not acknowledge: a full socket in SYN_RECV.
    /// For one minute at least.
    SynRecvFull,
    /// For ever.
    Established,
    /// Closed by the kernel's end, and the peer does not acknowledge: a socket that no process
    /// has any more. For a minute and a half.
    FinWait1,
    /// Shut down for writing, acknowledged, and still open: a full socket. For ever.
    FinWait2,
    /// Closed and acknowledged: a minisock, as in TIME_WAIT. For one minute.
    FinWait2Closed,
    /// Both ends have closed at once, and the peer does not acknowledge: a socket that no process
    /// has any more. For a minute and a half.
    Closing,
    /// Closed at both ends, by the kernel's first: a minisock. For one minute.
    TimeWait,
    /// Closed by the peer, and still open. For ever.
    CloseWait,
    /// Closed by the peer, then by the kernel's end, and the peer does not acknowledge: a socket
    /// that no process has any more. For a minute and a half.
    LastAck,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Listen,
        Self::SynSent,
        Self::SynRecv,
        Self::SynRecvFull,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::FinWait2Closed,
        Self::Closing,
        Self::TimeWait,
        Self::CloseWait,
        Self::LastAck,
    ];

    /// The value of the metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::SynSent => "syn_sent",
            Self::SynRecv | Self::SynRecvFull => "syn_recv",
            Self::Established => "established",
            Self::FinWait1 => "fin_wait1",
            Self::FinWait2 | Self::FinWait2Closed => "fin_wait2",
            Self::Closing => "closing",
            Self::TimeWait => "time_wait",
            Self::CloseWait => "close_wait",
            Self::LastAck => "last_ack",
        }
    }

    /// The kernel's number of the state that the socket has when it gets there, before it is
    /// closed.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Established => 1,
            Self::SynSent => 2,
            Self::SynRecv | Self::SynRecvFull => 3,
            Self::FinWait1 => 4,
            Self::FinWait2 | Self::FinWait2Closed => 5,
            // CLOSE: what waits is a minisock, and the socket has nothing left to do.
            Self::TimeWait => 7,
            Self::CloseWait => 8,
            Self::LastAck => 9,
            Self::Listen => 10,
            Self::Closing => 11,
        }
    }
}
