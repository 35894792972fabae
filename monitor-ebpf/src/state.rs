//! TCP states and the transitions between them that can happen.

use crate::SLOTS;

/// A TCP state, numbered as in `include/net/tcp_states.h`.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TcpState {
    /// `TCP_ESTABLISHED`
    Established = 1,
    /// `TCP_SYN_SENT`
    SynSent = 2,
    /// `TCP_SYN_RECV`
    SynRecv = 3,
    /// `TCP_FIN_WAIT1`
    FinWait1 = 4,
    /// `TCP_FIN_WAIT2`
    FinWait2 = 5,
    /// `TCP_TIME_WAIT`
    TimeWait = 6,
    /// `TCP_CLOSE`
    Close = 7,
    /// `TCP_CLOSE_WAIT`
    CloseWait = 8,
    /// `TCP_LAST_ACK`
    LastAck = 9,
    /// `TCP_LISTEN`
    Listen = 10,
    /// `TCP_CLOSING`
    Closing = 11,
}

impl TcpState {
    /// The value of the labels `state`, `old_state` and `new_state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::SynSent => "syn_sent",
            Self::SynRecv => "syn_recv",
            Self::FinWait1 => "fin_wait1",
            Self::FinWait2 => "fin_wait2",
            Self::TimeWait => "time_wait",
            Self::Close => "close",
            Self::CloseWait => "close_wait",
            Self::LastAck => "last_ack",
            Self::Listen => "listen",
            Self::Closing => "closing",
        }
    }
}

use TcpState::{
    Close, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynRecv, SynSent,
};

/// Every transition that a full TCP socket can make (the callers of `tcp_set_state` and
/// `inet_sk_state_store` in Linux 4.18 to 7.2). The place in this list is the slot that counts
/// it. TIME_WAIT is missing on purpose: it is a minisock's state, which no tracepoint shows.
pub const PAIRS: [(TcpState, TcpState); 24] = [
    (Close, SynSent),
    (Close, Listen),
    // Offload drivers that put up a connection of their own.
    (Close, Established),
    (Close, SynRecv),
    (SynSent, Established),
    (SynSent, SynRecv),
    (SynSent, Close),
    (Listen, SynRecv),
    (Listen, Close),
    (SynRecv, Established),
    (SynRecv, FinWait1),
    (SynRecv, CloseWait),
    (SynRecv, Close),
    (Established, FinWait1),
    (Established, CloseWait),
    (Established, Close),
    (FinWait1, FinWait2),
    (FinWait1, Closing),
    (FinWait1, Close),
    (FinWait2, Close),
    (Closing, Close),
    (CloseWait, LastAck),
    (CloseWait, Close),
    (LastAck, Close),
];

/// The slot of transitions that [`PAIRS`] does not list.
pub const UNLISTED: u8 = (SLOTS - 1) as u8;

/// Slots by `old << 4 | new`.
static SLOT_OF: [u8; 256] = {
    let mut slots = [UNLISTED; 256];
    let mut index = 0;
    while index < PAIRS.len() {
        let (old, new) = PAIRS[index];
        slots[(old as usize) << 4 | new as usize] = index as u8;
        index += 1;
    }
    slots
};

/// The slot that counts the transition `old` → `new`, numbers as the kernel gives them.
#[inline(always)]
pub fn slot(old: i32, new: i32) -> usize {
    let index = ((old & 0xf) << 4 | (new & 0xf)) as usize;
    // The compiler knows that no more bits are set and would leave the mask out. Verifiers up to
    // Linux 6.1 at least lose that where one half is known to be 0, and need it.
    usize::from(SLOT_OF[core::hint::black_box(index) & 0xff])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_its_own_slot_and_no_other_has_one() {
        for (index, &(old, new)) in PAIRS.iter().enumerate() {
            assert_eq!(slot(old as i32, new as i32), index, "{old:?} → {new:?}");
        }
        let listed = (0..16)
            .flat_map(|old| (0..16).map(move |new| slot(old, new)))
            .filter(|&slot| slot != usize::from(UNLISTED))
            .count();
        assert_eq!(listed, PAIRS.len());
    }
}
