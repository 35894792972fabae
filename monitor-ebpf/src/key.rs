//! Whom the programs count for.

/// Most (namespace, cgroup) pairs that one map counts at a time.
///
/// A map is allocated when it is created: 4,096 entries of 16 + 264 bytes and the kernel's 48 or
/// so of overhead are 1.3 MiB, whatever the number of CPUs.
pub const MAX_KEYS: u32 = 4096;

/// Whom a count belongs to.
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

/// A [`Key`] in words.
pub type KeyWords = [u64; 2];

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

const _: () = assert!(size_of::<Key>() == size_of::<KeyWords>());
