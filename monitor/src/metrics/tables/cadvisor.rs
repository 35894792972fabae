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

/// Size of the writable layer.
pub const FS_USAGE: Metric = Metric::gauge(
    "container_fs_usage_bytes",
    "Size of the container's writable layer at the last scan; cAdvisor adds the container's log",
    &["device"],
    "overlayfs: the upper folder, walked in the background",
);

/// Size of what it lies on.
pub const FS_LIMIT: Metric = Metric::gauge(
    "container_fs_limit_bytes",
    "Size of the file system that the container's writable layer lies on",
    &["device"],
    "statvfs: f_blocks",
);

/// Inodes of what it lies on.
pub const FS_INODES_TOTAL: Metric = Metric::gauge(
    "container_fs_inodes_total",
    "Inodes of the file system that the container's writable layer lies on",
    &["device"],
    "statvfs: f_files",
);

/// Free ones.
pub const FS_INODES_FREE: Metric = Metric::gauge(
    "container_fs_inodes_free",
    "Free inodes of the file system that the container's writable layer lies on",
    &["device"],
    "statvfs: f_ffree",
);

/// What was read.
pub const FS_READ_BYTES: Metric = Metric::counter(
    "container_fs_reads_bytes_total",
    "Bytes that the container read from a block device",
    &["device"],
    "cgroup: io.stat rbytes; blkio",
);

/// What was written.
pub const FS_WRITTEN_BYTES: Metric = Metric::counter(
    "container_fs_writes_bytes_total",
    "Bytes that the container wrote to a block device",
    &["device"],
    "cgroup: io.stat wbytes; blkio",
);

/// All of them, in the order of the output.
pub const METRICS: &[Metric] = &[
    TCP_USAGE,
    TCP6_USAGE,
    UDP_USAGE,
    UDP6_USAGE,
    ADVANCED_TCP,
    SOCKETS,
    FS_USAGE,
    FS_LIMIT,
    FS_INODES_TOTAL,
    FS_INODES_FREE,
    FS_READ_BYTES,
    FS_WRITTEN_BYTES,
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
