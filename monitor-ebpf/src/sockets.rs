//! What the pass over the kernel's socket tables counts.

use crate::{Key, KeyWords, TcpState};

/// Slots of a [`Sockets`] value; a power of two, so that an index is bounded by a mask.
pub const SOCKET_SLOTS: usize = 32;

/// Most ports that one key's listeners are told apart by; what is beyond stands under port 0.
pub const MAX_PORTS: u64 = 512;

/// Most listening ports of all keys together.
pub const MAX_LISTENERS: u32 = 8192;

/// Bytes of a socket that are read at once, and all that is wanted of `struct sock_common` must be
/// in; a power of two.
pub const COMMON_LEN: u64 = 128;

/// What the program returns where the table is no more what user space took it for.
pub const GONE: u32 = u32::MAX;

/// A family of sockets, numbered by place. A socket that was made for IPv6 and speaks to a
/// v4-mapped address is an IPv6 one, as `ss` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    /// `AF_INET`
    Ipv4 = 0,
    /// `AF_INET6`
    Ipv6 = 1,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The value of the label `family`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// Which of the kernel's TCP tables is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Table {
    /// `ehash`: all but listeners.
    Established = 0,
    /// `lhash2`: listeners.
    Listening = 1,
}

/// How a table entry is counted: its state as the kernel has it, or what it is instead.
///
/// Two kinds of entries are no full sockets and have no cgroup: what TIME_WAIT leaves of a
/// connection (which says in its substate whether it is FIN_WAIT2 still), and the request that
/// stands for a connection until its handshake has ended.
impl TcpState {
    /// A minisock in substate FIN_WAIT2. No state of the kernel has this number.
    pub const FIN_WAIT2_MINISOCK: u8 = 0;
    /// `TCP_NEW_SYN_RECV`, a request socket.
    pub const REQUEST: u8 = 12;
}

/// The slot of a family and a state, [`TcpState::FIN_WAIT2_MINISOCK`] and [`TcpState::REQUEST`]
/// among them.
#[inline(always)]
pub const fn socket_slot(family: Family, state: u8) -> usize {
    (family as usize) << 4 | (state & 0xf) as usize
}

/// What is counted for a [`Key`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// The pass that counted it; a pass that finds another number here begins at zero.
    pub generation: u64,
    /// Inode number of the network namespace.
    pub inode: u64,
    /// Listening ports that were told apart.
    pub ports: u64,
    /// Sockets by [`socket_slot`].
    pub counts: [u64; SOCKET_SLOTS],
}

/// A listening port.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerKey {
    /// Whose it is.
    pub key: Key,
    /// `port << 1 | family`; port 0 stands for those that could not be told apart.
    pub port_and_family: u64,
}

/// The accept queues of a [`ListenerKey`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// As in [`Sockets`].
    pub generation: u64,
    /// Inode number of the network namespace.
    pub inode: u64,
    /// Connections that wait to be accepted (`sk_ack_backlog`), summed over the port's listeners.
    pub length: u64,
    /// How many may wait (`sk_max_ack_backlog`), summed likewise.
    pub limit: u64,
}

/// What the program needs to know of the pass that it is part of, and what it has to tell, since
/// it was loaded: element 0 of the map `PASS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// The pass's number.
    pub generation: u64,
    /// `ns.ops` of every network namespace, which tells one from other memory.
    pub ops: u64,
    /// Sockets counted.
    pub sockets: u64,
    /// Chains that led into another one while they were followed, and were followed again.
    pub moved: u64,
    /// The same, given up after several times: counted as they were seen last.
    pub unsettled: u64,
    /// Sockets whose cgroup is not told because the map was full, and listeners whose accept queue
    /// found no room in theirs.
    pub folded: u64,
    /// Sockets not counted because the map was full.
    pub lost: u64,
}

/// [`Sockets`] in words.
pub type SocketsWords = [u64; 3 + SOCKET_SLOTS];

/// [`ListenerKey`] in words.
pub type ListenerKeyWords = [u64; 3];

/// [`Queue`] in words.
pub type QueueWords = [u64; 4];

/// [`Pass`] in words.
pub type PassWords = [u64; 7];

impl From<SocketsWords> for Sockets {
    fn from([generation, inode, ports, counts @ ..]: SocketsWords) -> Self {
        Self {
            generation,
            inode,
            ports,
            counts,
        }
    }
}

impl From<ListenerKeyWords> for ListenerKey {
    fn from([netns, cgroup, port_and_family]: ListenerKeyWords) -> Self {
        Self {
            key: Key { netns, cgroup },
            port_and_family,
        }
    }
}

impl From<ListenerKey> for ListenerKeyWords {
    fn from(listener: ListenerKey) -> Self {
        let [netns, cgroup] = KeyWords::from(listener.key);
        [netns, cgroup, listener.port_and_family]
    }
}

impl From<QueueWords> for Queue {
    fn from([generation, inode, length, limit]: QueueWords) -> Self {
        Self {
            generation,
            inode,
            length,
            limit,
        }
    }
}

impl From<PassWords> for Pass {
    fn from([generation, ops, sockets, moved, unsettled, folded, lost]: PassWords) -> Self {
        Self {
            generation,
            ops,
            sockets,
            moved,
            unsettled,
            folded,
            lost,
        }
    }
}

const _: () = {
    assert!(size_of::<Sockets>() == size_of::<SocketsWords>());
    assert!(size_of::<ListenerKey>() == size_of::<ListenerKeyWords>());
    assert!(size_of::<Queue>() == size_of::<QueueWords>());
    assert!(size_of::<Pass>() == size_of::<PassWords>());
    assert!(socket_slot(Family::Ipv6, 0xff) < SOCKET_SLOTS && SOCKET_SLOTS.is_power_of_two());
};
