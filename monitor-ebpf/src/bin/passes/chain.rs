//! One chain of a table: its sockets are kept aside until its end mark says whose chain it was.

use core::ffi::{c_long, c_void};

use aya_ebpf::helpers::bpf_probe_read_kernel_buf;
use monitor_ebpf::{Family, Table, TcpState, socket_slot};

use crate::kernel::{Memory as _, Net, Probe, SK_NET, Sock};
use crate::sockets::{WALK, Walk, head};
use crate::state::{State, repeat};
use crate::tally::{PASS, count};

offsets! {
    /// `offsetof(struct sock, __sk_common.skc_family)`
    SKC_FAMILY,
    /// `offsetof(struct sock, __sk_common.skc_state)`
    SKC_STATE,
    /// `offsetof(struct sock, __sk_common.skc_num)`
    SKC_NUM,
    /// `offsetof(struct sock, __sk_common.skc_nulls_node)`
    SKC_NULLS_NODE,
    /// Offset of the node that links listeners: the same, and before Linux 5.19
    /// `offsetof(struct inet_connection_sock, icsk_listen_portaddr_node)`.
    LISTEN_NODE,
    /// `offsetof(struct inet_timewait_sock, tw_substate)`
    TW_SUBSTATE,
    /// `offsetof(struct sock, sk_ack_backlog)`
    SK_ACK_BACKLOG,
    /// `offsetof(struct sock, sk_max_ack_backlog)`
    SK_MAX_ACK_BACKLOG,
}

/// Sockets of a chain that are kept aside at a time; a power of two.
const PENDING_LEN: u64 = 64;
/// [`monitor_ebpf::COMMON_LEN`], as a length.
const COMMON_LEN: usize = monitor_ebpf::COMMON_LEN as usize;
/// Most times that a chain is looked at anew, be it for its length or because it moved.
const ROUNDS: u32 = 1024;
/// Most times that a chain that moved is followed again.
const RETRIES: u64 = 4;
/// Above which the end marks of `lhash2` begin (`LISTENING_NULLS_BASE`).
const LISTENING_NULLS_BASE: u64 = 1 << 29;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// A socket that was seen and is not counted yet.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) netns: u64,
    pub(crate) net: u64,
    pub(crate) cgroup: u64,
    pub(crate) slot: u64,
    pub(crate) port: u64,
    pub(crate) length: u64,
    pub(crate) limit: u64,
}

impl Pending {
    const NONE: Self = Self {
        netns: 0,
        net: 0,
        cgroup: 0,
        slot: 0,
        port: 0,
        length: 0,
        limit: 0,
    };
}

/// Sockets of a chain that were seen and are not counted yet.
#[unsafe(no_mangle)]
static PENDING: State<[Pending; PENDING_LEN as usize]> =
    State::new([Pending::NONE; PENDING_LEN as usize]);

/// The beginning of the socket that is looked at, and 8 bytes more.
#[unsafe(no_mangle)]
static COMMON: State<[u64; COMMON_LEN / 8 + 1]> = State::new([0; COMMON_LEN / 8 + 1]);

/// Counts the sockets of the chain that begins with `head`, at `index` of the chunk.
#[inline(never)]
pub(crate) fn follow(index: u64, head: u64) -> u64 {
    let walk = WALK.get();
    walk.bucket = walk.next + index;
    walk.node = head;
    walk.pending = 0;
    walk.is_split = 0;
    walk.retries = 0;
    // Most chains have one socket, and need no loop.
    keep(walk);
    if is_end(walk.node) && is_own_end(walk) {
        if walk.pending > 0 {
            count(0, core::ptr::null_mut());
        }
        return 0;
    }
    repeat(ROUNDS, round);
    0
}

/// Whether this is the end mark of a chain: a "nulls" value, which is odd, or a null pointer.
#[inline(always)]
pub(crate) fn is_end(node: u64) -> bool {
    node & 1 == 1 || node == 0
}

/// Follows a chain to its end, or until no more sockets can be kept aside, and counts them.
extern "C" fn round(_index: u32, _context: *mut c_void) -> c_long {
    let walk = WALK.get();
    repeat(PENDING_LEN as u32, step);
    let has_ended = is_end(walk.node);
    if has_ended && !is_own_end(walk) {
        walk.retries += 1;
        let again = walk.is_split == 0 && walk.retries < RETRIES;
        if let Some(pass) = PASS.get_ptr_mut(0) {
            // SAFETY: the map's only element.
            unsafe {
                if again {
                    (*pass).moved += 1;
                } else {
                    (*pass).unsettled += 1;
                }
            }
        }
        if again {
            walk.pending = 0;
            walk.node = head(walk, walk.bucket - walk.next);
            return 0;
        }
    }
    if walk.pending > 0 {
        repeat(walk.pending as u32, count);
    }
    walk.pending = 0;
    walk.is_split = 1;
    c_long::from(has_ended)
}

/// Whether the end mark that was reached is that of the bucket whose chain is followed.
#[inline(always)]
fn is_own_end(walk: &Walk) -> bool {
    let value = walk.node >> 1;
    if walk.which != Table::Listening as u64 {
        return value == walk.bucket;
    }
    // A null pointer: lists of listeners had no "nulls" before Linux 5.19.
    walk.node == 0 || value == LISTENING_NULLS_BASE + walk.bucket
}

/// Keeps the chain's next socket aside, unless there is none or no more room.
extern "C" fn step(_index: u32, _context: *mut c_void) -> c_long {
    let walk = WALK.get();
    if is_end(walk.node) || walk.pending == PENDING_LEN {
        return 1;
    }
    keep(walk);
    0
}

/// Keeps the socket at the chain's next node aside, and goes on to the node after it.
#[inline(never)]
fn keep(walk: &mut Walk) -> u64 {
    let node = walk.node;
    let is_listening = walk.which == Table::Listening as u64;
    let offset = if is_listening {
        LISTEN_NODE.load()
    } else {
        SKC_NULLS_NODE.load()
    };
    let sock = Sock((node - offset) as *const u8);
    let common = COMMON.get();
    // SAFETY: the helper checks the address; a struct sock is longer than this.
    let read = unsafe {
        let to = core::slice::from_raw_parts_mut(common.as_mut_ptr().cast::<u8>(), COMMON_LEN);
        bpf_probe_read_kernel_buf(sock.0, to)
    };
    if read.is_err() {
        // Not memory any more: the chain's end, and not the right one.
        walk.node = u64::MAX;
        return 0;
    }
    // The node's first word is its successor.
    walk.node = if is_listening && offset != SKC_NULLS_NODE.load() {
        // SAFETY: as above.
        unsafe { Probe::load(node as *const u8, 0) }
    } else {
        field(SKC_NULLS_NODE.load())
    };
    let state: u8 = field(SKC_STATE.load());
    let family: u16 = field(SKC_FAMILY.load());
    let is_listener = state == TcpState::Listen as u8;
    let is_socket = (family == AF_INET || family == AF_INET6)
        && state > 0
        && state <= TcpState::REQUEST
        // In the wrong table: it was used again meanwhile.
        && is_listener == is_listening;
    if !is_socket {
        return 0;
    }
    let family = if family == AF_INET6 {
        Family::Ipv6
    } else {
        Family::Ipv4
    };
    let is_full = state != TcpState::TimeWait as u8 && state != TcpState::REQUEST;
    let net: u64 = field(SK_NET.load());
    let kept = pending(walk.pending);
    kept.net = net;
    kept.netns = Net(net as *const u8).key::<Probe>();
    kept.cgroup = if is_full {
        sock.cgroup_id::<Probe>()
    } else {
        0
    };
    kept.slot = socket_slot(family, state_of(sock, state)) as u64;
    if is_listening {
        // SAFETY: a struct sock or what was one a moment ago, and its fields' offsets.
        unsafe {
            kept.port = u64::from(field::<u16>(SKC_NUM.load()));
            kept.length = u64::from(Probe::load::<u32>(sock.0, SK_ACK_BACKLOG.load()));
            kept.limit = u64::from(Probe::load::<u32>(sock.0, SK_MAX_ACK_BACKLOG.load()));
        }
    }
    walk.pending += 1;
    0
}

/// A field of the socket whose beginning was read last.
#[inline(always)]
fn field<T: Copy>(offset: u64) -> T {
    let common = COMMON.get().as_ptr().cast::<u8>();
    // SAFETY: the mask keeps it within the buffer, which is 8 bytes longer.
    unsafe {
        common
            .add(offset as usize & (COMMON_LEN - 1))
            .cast::<T>()
            .read_volatile()
    }
}

/// The state that a socket is counted in.
#[inline(always)]
fn state_of(sock: Sock, state: u8) -> u8 {
    if state != TcpState::TimeWait as u8 {
        return state;
    }
    // SAFETY: a struct inet_timewait_sock, and its field's offset.
    let substate: u8 = unsafe { Probe::load(sock.0, TW_SUBSTATE.load()) };
    if substate == TcpState::FinWait2 as u8 {
        TcpState::FIN_WAIT2_MINISOCK
    } else {
        state
    }
}

/// The place of a socket that is kept aside.
#[inline(always)]
pub(crate) fn pending(index: u64) -> &'static mut Pending {
    &mut PENDING.get()[(index & (PENDING_LEN - 1)) as usize]
}
