//! What the program on `sock:inet_sock_set_state` counts.

use crate::PAIRS;

/// Slots of a [`Transitions`] value; a power of two, so that an index is bounded by a mask.
pub const SLOTS: usize = 32;

/// What is counted for a [`Key`](crate::Key).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transitions {
    /// Inode number of the network namespace.
    pub inode: u64,
    /// Transitions by [`slot`](crate::slot).
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

/// [`Transitions`] in words.
pub type TransitionsWords = [u64; 1 + SLOTS];

/// [`Problems`] in words.
pub type ProblemsWords = [u64; 2];

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
    assert!(size_of::<Transitions>() == size_of::<TransitionsWords>());
    assert!(size_of::<Problems>() == size_of::<ProblemsWords>());
    assert!(PAIRS.len() < SLOTS && SLOTS.is_power_of_two());
};
