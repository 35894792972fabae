//! Keys and values that the eBPF programs and user space share: `repr(C)` structures of 64-bit
//! words alone, so that there is no padding and user space reads them as arrays of words.
//!
//! The programs themselves stand in `transitions.rs` and `passes.rs` and below them; they exist
//! only on the BPF target.

#![cfg_attr(target_arch = "bpf", no_std)]

mod key;
mod namespace;
mod sockets;
mod state;
mod transitions;

pub use key::{Key, KeyWords, MAX_KEYS};
pub use namespace::{
    BLOCK_WORDS, Fields, FieldsWords, MAX_FIELDS, MAX_NAMESPACES, NamespaceRecord, NamespaceWords,
    SCRATCH_WORDS,
};
pub use sockets::{
    COMMON_LEN, Family, GONE, ListenerKey, ListenerKeyWords, MAX_LISTENERS, MAX_PORTS, Pass,
    PassWords, Queue, QueueWords, SOCKET_SLOTS, Sockets, SocketsWords, Table, socket_slot,
};
pub use state::{PAIRS, TcpState, UNLISTED, slot};
pub use transitions::{Problems, ProblemsWords, SLOTS, Transitions, TransitionsWords};
