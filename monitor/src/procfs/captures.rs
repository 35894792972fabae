//! The captured counter files of `tests/fixtures/proc`, for the tests of parsers and metrics.

/// The five counter files of one kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capture {
    pub(crate) kernel: &'static str,
    pub(crate) sockstat: &'static [u8],
    pub(crate) sockstat6: &'static [u8],
    pub(crate) snmp: &'static [u8],
    pub(crate) snmp6: &'static [u8],
    pub(crate) netstat: &'static [u8],
}

macro_rules! capture {
    ($kernel:literal) => {
        Capture {
            kernel: $kernel,
            sockstat: capture!($kernel, "sockstat"),
            sockstat6: capture!($kernel, "sockstat6"),
            snmp: capture!($kernel, "snmp"),
            snmp6: capture!($kernel, "snmp6"),
            netstat: capture!($kernel, "netstat"),
        }
    };
    ($kernel:literal, $file:literal) => {
        include_bytes!(concat!("../../tests/fixtures/proc/", $kernel, "/", $file))
    };
}

/// Linux 6.18.
pub(crate) const V6_18: Capture = capture!("6.18");

/// Every capture, from the oldest kernel to the newest.
pub(crate) const ALL: [Capture; 5] = [
    capture!("5.10"),
    capture!("6.1"),
    capture!("6.12"),
    V6_18,
    capture!("7.2"),
];
