//! The names that cAdvisor, and so a kubelet, publishes, with its types, label names and label
//! values, also where they are odd: gauges that end in `_total`.

use super::{CounterFile, Metric};

/// TCP sockets over IPv4.
pub const TCP_USAGE: Metric = Metric::gauge(
    "container_network_tcp_usage_total",
    "TCP sockets of the network namespace over IPv4, by state",
    &["tcp_state"],
    "the kernel's socket tables",
);

/// The same over IPv6.
pub const TCP6_USAGE: Metric = Metric::gauge(
    "container_network_tcp6_usage_total",
    "TCP sockets of the network namespace made for IPv6, by state",
    &["tcp_state"],
    "the kernel's socket tables",
);

/// UDP sockets over IPv4.
pub const UDP_USAGE: Metric = Metric::gauge(
    "container_network_udp_usage_total",
    "UDP sockets of the network namespace over IPv4 (listen), bytes in their queues, datagrams they dropped",
    &["udp_state"],
    "sock_diag",
);

/// The same over IPv6.
pub const UDP6_USAGE: Metric = Metric::gauge(
    "container_network_udp6_usage_total",
    "UDP sockets of the network namespace made for IPv6 (listen), bytes in their queues, datagrams they dropped",
    &["udp_state"],
    "sock_diag",
);

/// Counters of TCP.
pub const ADVANCED_TCP: Metric = Metric::gauge(
    "container_network_advance_tcp_stats_total",
    "TCP counters of the network namespace, each under its kernel name in lower case; those that this kernel has",
    &["tcp_state"],
    "snmp: Tcp; netstat: TcpExt",
);

/// Sockets.
pub const SOCKETS: Metric = Metric::gauge(
    "container_sockets",
    "Sockets of the network namespace, of all kinds, once for a pod; cAdvisor counts descriptors, of each container",
    &[],
    "sockstat: sockets used",
);

/// All of them, in the order of the output.
pub const METRICS: &[Metric] = &[
    TCP_USAGE,
    TCP6_USAGE,
    UDP_USAGE,
    UDP6_USAGE,
    ADVANCED_TCP,
    SOCKETS,
];

/// The fields of a group that [`ADVANCED_TCP`] shows, in the order of its series.
pub const ADVANCED: [(CounterFile, &str, &[&str]); 2] = [
    (CounterFile::Snmp, "Tcp", TCP),
    (CounterFile::Netstat, "TcpExt", TCP_EXT),
];

const TCP: &[&str] = &[
    "RtoAlgorithm",
    "RtoMin",
    "RtoMax",
    "MaxConn",
    "ActiveOpens",
    "PassiveOpens",
    "AttemptFails",
    "EstabResets",
    "CurrEstab",
    "InSegs",
    "OutSegs",
    "RetransSegs",
    "InErrs",
    "OutRsts",
    "InCsumErrors",
];

const TCP_EXT: &[&str] = &[
    "EmbryonicRsts",
    "SyncookiesSent",
    "SyncookiesRecv",
    "SyncookiesFailed",
    "PruneCalled",
    "RcvPruned",
    "OfoPruned",
    "OutOfWindowIcmps",
    "LockDroppedIcmps",
    "TW",
    "TWRecycled",
    "TWKilled",
    "TCPTimeWaitOverflow",
    "TCPTimeouts",
    "TCPSpuriousRTOs",
    "TCPLossProbes",
    "TCPLossProbeRecovery",
    "TCPRenoRecoveryFail",
    "TCPSackRecoveryFail",
    "TCPRenoFailures",
    "TCPSackFailures",
    "TCPLossFailures",
    "DelayedACKs",
    "DelayedACKLocked",
    "DelayedACKLost",
    "ListenOverflows",
    "ListenDrops",
    "TCPHPHits",
    "TCPPureAcks",
    "TCPHPAcks",
    "TCPRenoRecovery",
    "TCPSackRecovery",
    "TCPSACKReneging",
    "TCPFACKReorder",
    "TCPSACKReorder",
    "TCPRenoReorder",
    "TCPTSReorder",
    "TCPFullUndo",
    "TCPPartialUndo",
    "TCPDSACKUndo",
    "TCPLossUndo",
    "TCPFastRetrans",
    "TCPSlowStartRetrans",
    "TCPLostRetransmit",
    "TCPRetransFail",
    "TCPRcvCollapsed",
    "TCPDSACKOldSent",
    "TCPDSACKOfoSent",
    "TCPDSACKRecv",
    "TCPDSACKOfoRecv",
    "TCPAbortOnData",
    "TCPAbortOnClose",
    "TCPAbortOnMemory",
    "TCPAbortOnTimeout",
    "TCPAbortOnLinger",
    "TCPAbortFailed",
    "TCPMemoryPressures",
    "TCPMemoryPressuresChrono",
    "TCPSACKDiscard",
    "TCPDSACKIgnoredOld",
    "TCPDSACKIgnoredNoUndo",
    "TCPMD5NotFound",
    "TCPMD5Unexpected",
    "TCPMD5Failure",
    "TCPSackShifted",
    "TCPSackMerged",
    "TCPSackShiftFallback",
    "TCPBacklogDrop",
    "PFMemallocDrop",
    "TCPMinTTLDrop",
    "TCPDeferAcceptDrop",
    "IPReversePathFilter",
    "TCPReqQFullDoCookies",
    "TCPReqQFullDrop",
    "TCPFastOpenActive",
    "TCPFastOpenActiveFail",
    "TCPFastOpenPassive",
    "TCPFastOpenPassiveFail",
    "TCPFastOpenListenOverflow",
    "TCPFastOpenCookieReqd",
    "TCPSynRetrans",
    "TCPOrigDataSent",
    "PAWSActive",
    "PAWSEstab",
];
