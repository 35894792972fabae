//! The datagrams of `tests/fixtures/sock_diag`, whose README says what was captured.

macro_rules! capture {
    ($file:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/sock_diag/6.18/", $file))
    };
}

/// All IPv4 sockets of a namespace.
pub(super) const IPV4: &[u8] = capture!("ipv4.bin");

/// All IPv6 sockets of the same namespace.
pub(super) const IPV6: &[u8] = capture!("ipv6.bin");

/// A listener, and a full socket in SYN_RECV.
pub(super) const SYN_RECV: &[u8] = capture!("syn_recv.bin");

/// What came after each.
pub(super) const DONE: &[u8] = capture!("done.bin");

/// The answer where there is no module for the protocol.
pub(super) const NO_TCP_DIAG: &[u8] = capture!("no-tcp_diag.bin");

/// The answer where there is no module for the family.
pub(super) const NO_INET_DIAG: &[u8] = capture!("no-inet_diag.bin");

/// The cgroup that the sockets of [`IPV4`] and [`IPV6`] were made in.
pub(super) const CGROUP: u64 = 25;
