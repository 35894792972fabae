//! Network namespaces, and the tables that their TCP sockets are in.

use aya_ebpf::helpers::bpf_get_current_task;

use crate::kernel::{Memory as _, Net, Probe};

offsets! {
    /// `offsetof(struct task_struct, nsproxy)`
    TASK_NSPROXY,
    /// `offsetof(struct nsproxy, net_ns)`
    NSPROXY_NET,
    /// `offsetof(struct net, ns.ops)`
    NET_OPS,
    /// `offsetof(struct net, list)`
    NET_LIST,
    /// `offsetof(struct net, ipv4.tcp_death_row)`, with the offset of `hashinfo` in it unless it
    /// is a pointer.
    NET_DEATH_ROW,
    /// 1 where that is a pointer (Linux 5.18 to 6.0).
    DEATH_ROW_IS_POINTER,
    /// `offsetof(struct inet_timewait_death_row, hashinfo)`
    DEATH_ROW_HASHINFO,
    /// `offsetof(struct inet_hashinfo, ehash)`
    HASHINFO_EHASH,
    /// `offsetof(struct inet_hashinfo, ehash_mask)`
    HASHINFO_EHASH_MASK,
    /// `offsetof(struct inet_hashinfo, lhash2)`
    HASHINFO_LHASH2,
    /// `offsetof(struct inet_hashinfo, lhash2_mask)`
    HASHINFO_LHASH2_MASK,
}

/// The network namespace of the thread that runs the program.
#[inline(always)]
pub(crate) fn current_net() -> Net {
    // SAFETY: a struct task_struct and its struct nsproxy, and their fields' offsets.
    unsafe {
        let task = bpf_get_current_task() as *const u8;
        let nsproxy: *const u8 = Probe::load(task, TASK_NSPROXY.load());
        Net(Probe::load(nsproxy, NSPROXY_NET.load()))
    }
}

impl Net {
    /// `net->ns.ops`
    #[inline(always)]
    pub(crate) fn ops(self) -> u64 {
        // SAFETY: the helper checks the address.
        unsafe { Probe::load(self.0, NET_OPS.load()) }
    }

    /// The next one on the ring; `None` where this one cannot be read.
    #[inline(always)]
    pub(crate) fn next(self) -> Option<Self> {
        // SAFETY: the first word of a struct list_head is its successor.
        let list: u64 = unsafe { Probe::load(self.0, NET_LIST.load()) };
        if list == 0 {
            return None;
        }
        Some(Self((list - NET_LIST.load()) as *const u8))
    }
}

/// A `struct inet_hashinfo *` of the kernel.
#[derive(Clone, Copy)]
pub(crate) struct HashInfo(*const u8);

impl HashInfo {
    /// The tables that a namespace's TCP sockets are in.
    #[inline(always)]
    pub(crate) fn of(net: Net) -> Self {
        // SAFETY: the helper checks the addresses.
        unsafe {
            let pointer: *const u8 = Probe::load(net.0, NET_DEATH_ROW.load());
            if DEATH_ROW_IS_POINTER.load() != 0 {
                Self(Probe::load(pointer, DEATH_ROW_HASHINFO.load()))
            } else {
                Self(pointer)
            }
        }
    }

    /// `ehash` and how many buckets it has.
    #[inline(always)]
    pub(crate) fn established(self) -> (u64, u64) {
        self.table(HASHINFO_EHASH.load(), HASHINFO_EHASH_MASK.load())
    }

    /// `lhash2` and how many buckets it has.
    #[inline(always)]
    pub(crate) fn listening(self) -> (u64, u64) {
        self.table(HASHINFO_LHASH2.load(), HASHINFO_LHASH2_MASK.load())
    }

    #[inline(always)]
    fn table(self, table: u64, mask: u64) -> (u64, u64) {
        // SAFETY: the helper checks the address.
        let (table, mask): (u64, u32) =
            unsafe { (Probe::load(self.0, table), Probe::load(self.0, mask)) };
        (table, u64::from(mask) + 1)
    }
}

/// Whether a namespace was taken off the ring, on which its successor was then too, perhaps:
/// `list_del_rcu` poisons the way back.
#[inline(always)]
pub(crate) fn is_unlinked(net: Net) -> bool {
    // SAFETY: the second word of a struct list_head is its predecessor.
    let previous: u64 = unsafe { Probe::load(net.0, NET_LIST.load() + 8) };
    // SAFETY: the helper checks the address; the first word is the successor.
    let back: u64 = unsafe { Probe::load(previous as *const u8, 0) };
    back != net.0 as u64 + NET_LIST.load()
}
