//! Reading kernel structures whose layout is only known when the object is loaded.
//!
//! Rust has no CO-RE, so user space resolves the offsets below from the running kernel's BTF and
//! sets them before the load. The verifier knows them as constants then (a frozen `.rodata`).

use aya_ebpf::{Global, helpers::bpf_probe_read_kernel};

/// `offsetof(struct sock, __sk_common.skc_net.net)`
#[unsafe(no_mangle)]
pub(crate) static SK_NET: Global<u64> = Global::new(0);

/// `offsetof(struct sock, sk_cgrp_data)`; 0 where sockets have no cgroup.
#[unsafe(no_mangle)]
static SK_CGROUP: Global<u64> = Global::new(0);

/// 1 where `sk_cgrp_data` holds a plain pointer (Linux 5.15), 0 where the pointer shares a word
/// with the net_cls and net_prio numbers of cgroup v1.
#[unsafe(no_mangle)]
static SK_CGROUP_IS_POINTER: Global<u64> = Global::new(1);

/// `offsetof(struct cgroup, kn)`
#[unsafe(no_mangle)]
static CGROUP_KN: Global<u64> = Global::new(0);

/// `offsetof(struct kernfs_node, id)`
#[unsafe(no_mangle)]
static KN_ID: Global<u64> = Global::new(0);

/// The bits of a 64-bit load at [`KN_ID`] that are the inode number: before Linux 5.5, and
/// in RHEL 8, the upper half is a generation.
#[unsafe(no_mangle)]
static KN_ID_MASK: Global<u64> = Global::new(u64::MAX);

/// `offsetof(struct net, ns.inum)`
#[unsafe(no_mangle)]
static NET_INUM: Global<u64> = Global::new(0);

/// `offsetof(struct net, net_cookie)`; 0 where the kernel gives no cookies out.
#[unsafe(no_mangle)]
static NET_COOKIE: Global<u64> = Global::new(0);

/// How a program reads kernel memory.
pub(crate) trait Memory {
    /// The value at `base + offset`; zero where the address is bad.
    ///
    /// # Safety
    /// `base` points to a kernel structure with a `T` at `offset`.
    unsafe fn load<T: Copy>(base: *const u8, offset: u64) -> T;
}

/// Loads by `bpf_probe_read_kernel`, for any address.
pub(crate) struct Probe;

impl Memory for Probe {
    #[inline(always)]
    unsafe fn load<T: Copy>(base: *const u8, offset: u64) -> T {
        // SAFETY: the helper checks the address; zero is a valid value of the integers and raw
        // pointers that are read here.
        unsafe {
            bpf_probe_read_kernel(base.add(offset as usize).cast::<T>())
                .unwrap_or_else(|_| core::mem::zeroed())
        }
    }
}

/// A `struct sock *` of the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Sock(pub(crate) *const u8);

impl Sock {
    /// The id of the cgroup that the socket was made in; 0 where it is not known.
    #[inline(always)]
    pub(crate) fn cgroup_id<M: Memory>(self) -> u64 {
        let offset = SK_CGROUP.load();
        if offset == 0 {
            return 0;
        }
        // SAFETY: a struct sock, struct cgroup and struct kernfs_node, and their fields' offsets.
        unsafe {
            if SK_CGROUP_IS_POINTER.load() != 0 {
                let cgroup: *const u8 = M::load(self.0, offset);
                let node: *const u8 = M::load(cgroup, CGROUP_KN.load());
                M::load::<u64>(node, KN_ID.load()) & KN_ID_MASK.load()
            } else {
                let word: u64 = M::load(self.0, offset);
                if word == 0 || word & 3 != 0 {
                    // Nothing set yet, or numbers of cgroup v1 in the pointer's place.
                    return 0;
                }
                let node: *const u8 = Probe::load(word as *const u8, CGROUP_KN.load());
                Probe::load::<u64>(node, KN_ID.load()) & KN_ID_MASK.load()
            }
        }
    }
}

/// A `struct net *` of the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Net(pub(crate) *const u8);

impl Net {
    /// Its inode number.
    #[inline(always)]
    pub(crate) fn inode<M: Memory>(self) -> u64 {
        // SAFETY: a struct net, and its field's offset.
        u64::from(unsafe { M::load::<u32>(self.0, NET_INUM.load()) })
    }

    /// Its cookie, which no other namespace has had or will have; 0 where there is none.
    #[inline(always)]
    pub(crate) fn cookie<M: Memory>(self) -> u64 {
        let offset = NET_COOKIE.load();
        if offset == 0 {
            return 0;
        }
        // SAFETY: as above.
        unsafe { M::load(self.0, offset) }
    }

    /// What [`Key::netns`](monitor_ebpf::Key::netns) says of it.
    #[inline(always)]
    pub(crate) fn key<M: Memory>(self) -> u64 {
        match self.cookie::<M>() {
            0 => self.inode::<M>(),
            cookie => cookie,
        }
    }
}
