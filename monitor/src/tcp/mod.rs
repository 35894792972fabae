//! TCP sockets by state: what a look at the kernel's socket tables gives, whoever looked.
//!
//! Two ways lead here and give the same numbers: the eBPF pass over the tables
//! ([`ebpf::Passes`](crate::ebpf::Passes)) and [`sock_diag`] in each network namespace.
//! [`invariants`] compares them with what the kernel's files say.

pub mod invariants;
pub mod listeners;
pub mod sock_diag;

use std::ops::AddAssign;

use monitor_ebpf::{Family, Key, SOCKET_SLOTS, TcpState, socket_slot};

/// The states that a socket in a table can be in, in the order of the output. CLOSE is none of
/// them: a closed socket is in no table.
pub const STATES: [TcpState; 10] = [
    TcpState::Established,
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::TimeWait,
    TcpState::CloseWait,
    TcpState::LastAck,
    TcpState::Listen,
    TcpState::Closing,
];

/// How many sockets are in which state, by family. Entries that are no full sockets are kept
/// apart, because the kernel's files count them apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateCounts([u64; SOCKET_SLOTS]);

impl StateCounts {
    /// Counts as the eBPF program has them, by [`socket_slot`].
    pub fn from_slots(slots: [u64; SOCKET_SLOTS]) -> Self {
        Self(slots)
    }

    /// Adds one socket. `state` is the kernel's number, [`TcpState::REQUEST`] for a request and
    /// [`TcpState::FIN_WAIT2_MINISOCK`] for a minisock in that substate; others are ignored.
    pub fn add(&mut self, family: Family, state: u8) {
        if state <= TcpState::REQUEST {
            self.0[socket_slot(family, state)] += 1;
        }
    }

    /// Sockets of a family in a state, as `ss` counts them: a request is in SYN_RECV, a minisock
    /// in its substate.
    pub fn get(&self, family: Family, state: TcpState) -> u64 {
        let apart = match state {
            TcpState::SynRecv => self.slot(family, TcpState::REQUEST),
            TcpState::FinWait2 => self.slot(family, TcpState::FIN_WAIT2_MINISOCK),
            _ => 0,
        };
        self.slot(family, state as u8) + apart
    }

    /// Full sockets of both families: what `inuse` of sockstat's lines `TCP` and `TCP6` counts.
    pub fn full(&self) -> u64 {
        let of = |family| {
            let states = STATES
                .into_iter()
                .filter(|state| *state != TcpState::TimeWait);
            states
                .map(|state| self.slot(family, state as u8))
                .sum::<u64>()
        };
        Family::ALL.into_iter().map(of).sum()
    }

    /// Connections in ESTABLISHED or CLOSE_WAIT: what `CurrEstab` of snmp counts.
    pub fn curr_estab(&self) -> u64 {
        let of = |family| {
            self.slot(family, TcpState::Established as u8)
                + self.slot(family, TcpState::CloseWait as u8)
        };
        Family::ALL.into_iter().map(of).sum()
    }

    /// Minisocks of a family in substate FIN_WAIT2.
    pub fn fin_wait2_minisocks(&self, family: Family) -> u64 {
        self.slot(family, TcpState::FIN_WAIT2_MINISOCK)
    }

    /// Full sockets of a family in FIN_WAIT2.
    pub fn fin_wait2_full(&self, family: Family) -> u64 {
        self.slot(family, TcpState::FinWait2 as u8)
    }

    /// Whether there is any socket of a family.
    pub fn has(&self, family: Family) -> bool {
        (0..=TcpState::REQUEST).any(|state| self.slot(family, state) > 0)
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn slot(&self, family: Family, state: u8) -> u64 {
        self.0[socket_slot(family, state)]
    }
}

impl AddAssign<&Self> for StateCounts {
    fn add_assign(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }
}

/// The sockets of one network namespace that were made in one cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose they are.
    pub key: Key,
    /// Inode number of the namespace.
    pub inode: u64,
    /// By state.
    pub counts: StateCounts,
}

/// The accept queues of one listening port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Whose they are.
    pub key: Key,
    /// Inode number of the namespace.
    pub inode: u64,
    /// `None` for several ports that are not told apart.
    pub port: Option<u16>,
    /// Family of the listening sockets.
    pub family: Family,
    /// Connections that wait to be accepted, summed over the port's sockets.
    pub length: u64,
    /// How many may wait, summed likewise.
    pub limit: u64,
}

/// All TCP sockets that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketTable {
    /// Sockets by namespace and cgroup, each pair once.
    pub entries: Vec<Entry>,
    /// Accept queues by namespace, cgroup, port and family, each once.
    pub listeners: Vec<Listener>,
}
