//! Keys and values that the eBPF programs and user space share: `repr(C)` structures of 64-bit
//! words alone, so that there is no padding and user space reads them as arrays of words.
//!
//! The programs themselves stand in `main.rs` and below it; they exist only on the BPF target.

#![cfg_attr(target_arch = "bpf", no_std)]

mod state;

pub use state::{PAIRS, TcpState, UNLISTED, slot};

/// Slots of a [`Transitions`] value; a power of two, so that an index is bounded by a mask.
pub const SLOTS: usize = 32;

/// Most (namespace, cgroup) pairs that are counted at a time.
///
/// The map is allocated when it is created: 4,096 entries of 16 + 264 bytes and the kernel's 48
/// or so of overhead are 1.3 MiB, whatever the number of CPUs.
pub const MAX_KEYS: u32 = 4096;

/// Who a transition belongs to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// `net->net_cookie` where the kernel has one, which is never used again; else the
    /// namespace's inode number, which is.
    pub netns: u64,
    /// The id of the cgroup that the socket was made in (its inode number in cgroup2); 1 where
    /// the host has cgroup v1 only, 0 where it is not known.
    pub cgroup: u64,
}

/// What is counted for a [`Key`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transitions {
    /// Inode number of the network namespace.
    pub inode: u64,
    /// Transitions by [`slot`].
    pub counts: [u64; SLOTS],
}

/// What the program could not count, or not under its key: element 0 of the map `PROBLEMS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Transitions lost because the map was full.
    pub map_full: u64,
    /// Transitions between two states that [`PAIRS`] does not list.
    pub unlisted: u64,
}

/// A [`Key`] in words.
pub type KeyWords = [u64; 2];

/// [`Transitions`] in words.
pub type TransitionsWords = [u64; 1 + SLOTS];

/// [`Problems`] in words.
pub type ProblemsWords = [u64; 2];

impl From<KeyWords> for Key {
    fn from([netns, cgroup]: KeyWords) -> Self {
        Self { netns, cgroup }
    }
}

impl From<Key> for KeyWords {
    fn from(key: Key) -> Self {
        [key.netns, key.cgroup]
    }
}

impl From<TransitionsWords> for Transitions {
    fn from([inode, counts @ ..]: TransitionsWords) -> Self {
        Self { inode, counts }
    }
}

impl From<ProblemsWords> for Problems {
    fn from([map_full, unlisted]: ProblemsWords) -> Self {
        Self { map_full, unlisted }
    }
}

const _: () = {
    assert!(size_of::<Key>() == size_of::<KeyWords>());
    assert!(size_of::<Transitions>() == size_of::<TransitionsWords>());
    assert!(size_of::<Problems>() == size_of::<ProblemsWords>());
    assert!(PAIRS.len() < SLOTS && SLOTS.is_power_of_two());
};
