//! What is a fact of one container.

use super::Metric;

/// TCP state changes, counted by the eBPF program.
pub const TCP_TRANSITIONS: Metric = Metric::counter(
    "container_network_tcp_transitions_total",
    "TCP state changes of the container's sockets, by the state left and the state entered",
    &["old_state", "new_state"],
    "eBPF: tracepoint sock:inet_sock_set_state",
);

/// TCP sockets by state.
pub const TCP_SOCKETS: Metric = Metric::gauge(
    "container_network_tcp_sockets",
    "TCP sockets of the container by state, as ss counts them",
    &["state", "family"],
    "the kernel's socket tables",
);

/// Connections that wait to be accepted.
pub const TCP_ACCEPT_QUEUE: Metric = Metric::gauge(
    "container_network_tcp_accept_queue",
    "Connections that wait to be accepted, summed over the container's listeners at the port",
    &["port", "family"],
    "the kernel's socket tables: sk_ack_backlog",
);

/// How many may wait.
pub const TCP_ACCEPT_QUEUE_LIMIT: Metric = Metric::gauge(
    "container_network_tcp_accept_queue_limit",
    "Connections that may wait to be accepted, summed over the container's listeners at the port",
    &["port", "family"],
    "the kernel's socket tables: sk_max_ack_backlog",
);

/// What is known of a container beside its identity.
pub const INFO: Metric = Metric::gauge(
    "container_network_info",
    "Always 1: the container's id, image, runtime and network, to join on",
    &[
        "container_id",
        "image",
        "runtime",
        "netns",
        "network_mode",
        "interface",
        "host_interface",
    ],
    "discovery, /proc and rtnetlink",
);

/// All of them, in the order of the output.
pub const METRICS: &[Metric] = &[
    TCP_TRANSITIONS,
    TCP_SOCKETS,
    TCP_ACCEPT_QUEUE,
    TCP_ACCEPT_QUEUE_LIMIT,
    INFO,
];
