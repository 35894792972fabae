//! What the kernel counts for the whole host, whichever namespace shows it.

use super::Metric;

/// TCP sockets that no process holds any more.
pub const TCP_ORPHANS: Metric = Metric::gauge(
    "container_monitor_host_tcp_orphan_sockets",
    "TCP sockets of the whole host that no process holds open any more and that are still closing",
    &[],
    "sockstat: TCP orphan",
);

/// TCP sockets in existence.
pub const TCP_ALLOCATED: Metric = Metric::gauge(
    "container_monitor_host_tcp_allocated_sockets",
    "TCP sockets of the whole host that exist, IPv4 and IPv6, in whatever state",
    &[],
    "sockstat: TCP alloc",
);

/// Memory of TCP's buffers.
pub const TCP_MEMORY: Metric = Metric::gauge(
    "container_monitor_host_tcp_memory_bytes",
    "Memory that TCP buffers of the whole host take",
    &[],
    "sockstat: TCP mem, times the page size",
);

/// Memory of UDP's buffers.
pub const UDP_MEMORY: Metric = Metric::gauge(
    "container_monitor_host_udp_memory_bytes",
    "Memory that UDP buffers of the whole host take",
    &[],
    "sockstat: UDP mem, times the page size",
);

/// The three levels of `net.ipv4.tcp_mem`.
pub const TCP_MEMORY_LIMIT: Metric = Metric::gauge(
    "container_monitor_host_tcp_memory_limit_bytes",
    "Limits of the memory of TCP buffers: below low it is not regulated, above pressure it is, at max allocations fail",
    &["level"],
    "/proc/sys/net/ipv4/tcp_mem, times the page size",
);

/// The values of the label `level`, in the file's order.
pub const TCP_MEMORY_LEVELS: [&str; 3] = ["low", "pressure", "max"];

/// All of them, in the order of the output.
pub const METRICS: &[Metric] = &[
    TCP_ORPHANS,
    TCP_ALLOCATED,
    TCP_MEMORY,
    UDP_MEMORY,
    TCP_MEMORY_LIMIT,
];
