//! Lengths and numbers of a datagram, never trusted: what netlink has in common for all families.

/// Messages and attributes are padded to a multiple of this.
pub(super) const ALIGNMENT: usize = 4;

/// Why a datagram cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The datagram, a message or an attribute ends too early.
    #[error("{what} at byte {at} takes {needed} bytes, but {left} are left")]
    CutShort {
        /// What should stand there.
        what: &'static str,
        /// Where it begins in the datagram.
        at: usize,
        /// The bytes it takes.
        needed: usize,
        /// The bytes there are.
        left: usize,
    },
    /// A length that does not even cover the header that it stands in.
    #[error("{what} at byte {at} says that it is {length} bytes long")]
    Length {
        /// What has the length.
        what: &'static str,
        /// Where it begins in the datagram.
        at: usize,
        /// What it says.
        length: usize,
    },
    /// A message that is no answer to the request.
    #[error("the message at byte {at} has type {kind}")]
    Type {
        /// Where it begins.
        at: usize,
        /// Its type.
        kind: u16,
    },
    /// A socket of a family that was not asked for.
    #[error("the socket at byte {at} has family {family}")]
    Family {
        /// Where its message begins.
        at: usize,
        /// Its family.
        family: u8,
    },
    /// A socket in a state that no kernel known here has.
    #[error("the socket at byte {at} is in state {state}")]
    State {
        /// Where its message begins.
        at: usize,
        /// Its state.
        state: u8,
    },
}

/// Where something ends that begins at `at` and says that it is `length` bytes long, its header of
/// `header` bytes included.
pub(super) fn end(
    within: &[u8],
    at: usize,
    length: usize,
    header: usize,
    what: &'static str,
) -> Result<usize, ParseError> {
    if length < header {
        return Err(ParseError::Length { what, at, length });
    }
    let left = within.len().saturating_sub(at);
    if length > left {
        return Err(ParseError::CutShort {
            what,
            at,
            needed: length,
            left,
        });
    }
    Ok(at + length)
}

/// The `N` bytes at `at`.
pub(super) fn bytes<const N: usize>(
    within: &[u8],
    at: usize,
    what: &'static str,
) -> Result<[u8; N], ParseError> {
    let rest = within.get(at..).unwrap_or_default();
    rest.first_chunk().copied().ok_or(ParseError::CutShort {
        what,
        at,
        needed: N,
        left: rest.len(),
    })
}

/// The number at `at` of a structure that is longer than that.
pub(super) fn u16_at(structure: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(std::array::from_fn(|index| structure[at + index]))
}

/// The number at `at` of a structure that is longer than that.
pub(super) fn u32_at(structure: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(std::array::from_fn(|index| structure[at + index]))
}
