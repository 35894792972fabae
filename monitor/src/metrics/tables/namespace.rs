//! What is a fact of a network namespace, from its counter files.

use super::CounterFile::{Netstat, Snmp, Snmp6, Sockstat, Sockstat6};
use super::{CounterFile, Kind};

/// One family of a network namespace.
#[derive(Clone, Copy, Debug)]
pub struct NamespaceMetric {
    /// Name, as Prometheus sees it.
    pub name: &'static str,
    /// What it means, one sentence without a full stop.
    pub help: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The label that tells its series apart; empty where there is one series.
    pub label: &'static str,
    /// Its series.
    pub series: &'static [Source],
}

/// Where one series comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The value of the family's label.
    pub value: &'static str,
    /// The file.
    pub file: CounterFile,
    /// The line or group in it (`TCP`, `TcpExt`, `Udp6`).
    pub group: &'static str,
    /// The key or column (`inuse`, `ListenOverflows`).
    pub field: &'static str,
}

const fn at(
    value: &'static str,
    file: CounterFile,
    group: &'static str,
    field: &'static str,
) -> Source {
    Source {
        value,
        file,
        group,
        field,
    }
}

macro_rules! gauge {
    ($name:literal, $help:literal, $label:literal, [$($source:expr),+ $(,)?]) => {
        NamespaceMetric {
            name: concat!("container_network_", $name),
            help: $help,
            kind: Kind::Gauge,
            label: $label,
            series: &[$($source),+],
        }
    };
}

macro_rules! tcp_counter {
    ($name:literal, $field:literal, $help:literal) => {
        NamespaceMetric {
            name: concat!("container_network_tcp_", $name, "_total"),
            help: $help,
            kind: Kind::Counter,
            label: "",
            series: &[at("", Snmp, "Tcp", $field)],
        }
    };
}

macro_rules! udp_counter {
    ($name:literal, $field:literal, $help:literal) => {
        NamespaceMetric {
            name: concat!("container_network_udp_", $name, "_total"),
            help: $help,
            kind: Kind::Counter,
            label: "family",
            series: &[
                at("ipv4", Snmp, "Udp", $field),
                at("ipv6", Snmp6, "Udp6", $field),
            ],
        }
    };
}

macro_rules! tcpext_counter {
    ($name:literal, $field:literal, $help:literal) => {
        NamespaceMetric {
            name: concat!("container_network_tcpext_", $name, "_total"),
            help: $help,
            kind: Kind::Counter,
            label: "",
            series: &[at("", Netstat, "TcpExt", $field)],
        }
    };
}

/// The families, in the order of the output.
pub const METRICS: &[NamespaceMetric] = &[
    gauge!(
        "sockets_used",
        "Open sockets of every address family, unix and netlink too",
        "",
        [at("", Sockstat, "sockets", "used")]
    ),
    gauge!(
        "sockets_inuse",
        "Sockets in use: for tcp the IPv4 and for tcp6 the IPv6 ones that are connected, connecting or listening, without TIME_WAIT; for the others the bound ones",
        "protocol",
        [
            at("tcp", Sockstat, "TCP", "inuse"),
            at("tcp6", Sockstat6, "TCP6", "inuse"),
            at("udp", Sockstat, "UDP", "inuse"),
            at("udp6", Sockstat6, "UDP6", "inuse"),
            at("udplite", Sockstat, "UDPLITE", "inuse"),
            at("udplite6", Sockstat6, "UDPLITE6", "inuse"),
            at("raw", Sockstat, "RAW", "inuse"),
            at("raw6", Sockstat6, "RAW6", "inuse"),
        ]
    ),
    gauge!(
        "fragment_queues",
        "Datagrams that wait for their missing fragments",
        "protocol",
        [
            at("ip", Sockstat, "FRAG", "inuse"),
            at("ip6", Sockstat6, "FRAG6", "inuse"),
        ]
    ),
    gauge!(
        "fragment_memory_bytes",
        "Memory held by fragments that wait for the others of their datagram",
        "protocol",
        [
            at("ip", Sockstat, "FRAG", "memory"),
            at("ip6", Sockstat6, "FRAG6", "memory"),
        ]
    ),
    gauge!(
        "tcp_time_wait_sockets",
        "TCP sockets in TIME_WAIT, IPv4 and IPv6, those in its substate FIN_WAIT2 too",
        "",
        [at("", Sockstat, "TCP", "tw")]
    ),
    gauge!(
        "tcp_curr_estab",
        "TCP connections in ESTABLISHED or CLOSE_WAIT, IPv4 and IPv6",
        "",
        [at("", Snmp, "Tcp", "CurrEstab")]
    ),
    tcp_counter!(
        "active_opens",
        "ActiveOpens",
        "TCP connections that were begun from here (CLOSE to SYN_SENT)"
    ),
    tcp_counter!(
        "passive_opens",
        "PassiveOpens",
        "TCP connections that came in to a listener (LISTEN to SYN_RECV)"
    ),
    tcp_counter!(
        "attempt_fails",
        "AttemptFails",
        "TCP connections that failed before they were established"
    ),
    tcp_counter!(
        "estab_resets",
        "EstabResets",
        "Established TCP connections that were reset (ESTABLISHED or CLOSE_WAIT to CLOSE)"
    ),
    tcp_counter!("in_segs", "InSegs", "TCP segments received, bad ones too"),
    tcp_counter!(
        "out_segs",
        "OutSegs",
        "TCP segments sent, without retransmitted ones"
    ),
    tcp_counter!("retrans_segs", "RetransSegs", "TCP segments retransmitted"),
    tcp_counter!("in_errs", "InErrs", "TCP segments received in error"),
    tcp_counter!("out_rsts", "OutRsts", "TCP segments sent with the RST flag"),
    udp_counter!(
        "in_datagrams",
        "InDatagrams",
        "UDP datagrams delivered to a socket"
    ),
    udp_counter!("out_datagrams", "OutDatagrams", "UDP datagrams sent"),
    udp_counter!(
        "no_ports",
        "NoPorts",
        "UDP datagrams received for a port without a socket"
    ),
    udp_counter!(
        "in_errors",
        "InErrors",
        "UDP datagrams that could not be delivered for any other reason than a missing socket"
    ),
    udp_counter!(
        "rcvbuf_errors",
        "RcvbufErrors",
        "UDP datagrams dropped because the socket's receive buffer was full"
    ),
    udp_counter!(
        "sndbuf_errors",
        "SndbufErrors",
        "UDP datagrams not sent because the send buffer was full"
    ),
    udp_counter!(
        "mem_errors",
        "MemErrors",
        "UDP datagrams dropped because UDP's memory limit was reached"
    ),
    tcpext_counter!(
        "listen_overflows",
        "ListenOverflows",
        "Connections that a listener could not take because its accept queue was full"
    ),
    tcpext_counter!(
        "listen_drops",
        "ListenDrops",
        "Connections that a listener dropped, for a full accept queue or any other reason"
    ),
    tcpext_counter!(
        "req_q_full_drop",
        "TCPReqQFullDrop",
        "SYNs dropped because the SYN queue was full and SYN cookies were off"
    ),
    tcpext_counter!(
        "req_q_full_do_cookies",
        "TCPReqQFullDoCookies",
        "SYNs answered with a SYN cookie because the SYN queue was full"
    ),
    tcpext_counter!("syncookies_sent", "SyncookiesSent", "SYN cookies sent"),
    tcpext_counter!(
        "timeouts",
        "TCPTimeouts",
        "Expiries of the retransmission timer"
    ),
    tcpext_counter!(
        "syn_retrans",
        "TCPSynRetrans",
        "SYNs and SYN-ACKs retransmitted"
    ),
    tcpext_counter!(
        "abort_on_timeout",
        "TCPAbortOnTimeout",
        "Connections given up after retransmissions, probes or keepalives went unanswered"
    ),
    tcpext_counter!(
        "abort_on_memory",
        "TCPAbortOnMemory",
        "Connections aborted because memory or the number of orphans was over its limit"
    ),
    tcpext_counter!(
        "abort_on_data",
        "TCPAbortOnData",
        "Connections aborted because data came after the socket was closed, or closed with SO_LINGER 0"
    ),
    tcpext_counter!(
        "abort_on_close",
        "TCPAbortOnClose",
        "Connections reset because the socket was closed with received data unread"
    ),
    tcpext_counter!(
        "backlog_drop",
        "TCPBacklogDrop",
        "Segments dropped because a busy socket's backlog was full"
    ),
    tcpext_counter!(
        "rcv_q_drop",
        "TCPRcvQDrop",
        "Segments dropped because the receive queue was full"
    ),
    tcpext_counter!(
        "prune_called",
        "PruneCalled",
        "Times that a socket's receive queue was pruned because its buffer was full"
    ),
    tcpext_counter!(
        "time_wait_overflow",
        "TCPTimeWaitOverflow",
        "TIME_WAIT sockets not kept because there were too many (net.ipv4.tcp_max_tw_buckets)"
    ),
];
