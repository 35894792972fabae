//! How a kernel counter's name becomes a metric's: mechanically, so that nobody has to look it up.

use super::tables::Kind;

/// The families of `snmp`, `snmp6` and `netstat` that are no counters.
const GAUGES: &[(&str, &str)] = &[
    ("Ip", "Forwarding"),
    ("Ip", "DefaultTTL"),
    ("Tcp", "RtoAlgorithm"),
    ("Tcp", "RtoMin"),
    ("Tcp", "RtoMax"),
    ("Tcp", "MaxConn"),
    ("Tcp", "CurrEstab"),
    ("MPTcpExt", "MPCurrEstab"),
];

/// The type of a field of `snmp`, `snmp6` or `netstat`.
pub fn kind(group: &str, field: &str) -> Kind {
    if GAUGES.contains(&(group, field)) {
        Kind::Gauge
    } else {
        Kind::Counter
    }
}

/// The metric's name: `container_network_<group>_<field>`, the group in lower case, the field in
/// snake case and, in `TcpExt`, without the prefix `TCP` (which the kernel also spells `Tcp`);
/// `_total` at the end of a counter. `None` for a name that Prometheus would not take.
pub fn metric_name(group: &str, field: &str) -> Option<String> {
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
    if !plain(group) || !plain(field) {
        return None;
    }
    let stem = match group {
        "TcpExt" => field
            .strip_prefix("TCP")
            .or_else(|| field.strip_prefix("Tcp"))
            .filter(|stem| !stem.is_empty())
            .unwrap_or(field),
        _ => field,
    };
    let mut name = format!(
        "container_network_{}_{}",
        group.to_ascii_lowercase(),
        snake_case(stem)
    );
    if kind(group, field) == Kind::Counter {
        name.push_str("_total");
    }
    Some(name)
}

/// `ListenOverflows` → `listen_overflows`, `SACKReneging` → `sack_reneging`.
///
/// A word begins at a capital after a small letter or digit, and at the last capital of several
/// when a small letter follows. Two endings of the kernel's belong to their acronym: the plural
/// (`ReasmOKs`, `DelayedACKs`) and a version (`MLDv2`). `HMac` is one word: a lone `h` in a
/// metric's name reads as hours.
pub fn snake_case(name: &str) -> String {
    let name = name.replace("HMac", "Hmac");
    let bytes = name.as_bytes();
    let mut out = String::with_capacity(name.len() + 8);
    for (at, &byte) in bytes.iter().enumerate() {
        if byte.is_ascii_uppercase()
            && at > 0
            && (!bytes[at - 1].is_ascii_uppercase() || begins_word(&bytes[at + 1..]))
        {
            out.push('_');
        }
        out.push(char::from(byte.to_ascii_lowercase()));
    }
    out
}

/// Whether a capital that follows capitals begins a word, by what comes after it.
fn begins_word(after: &[u8]) -> bool {
    match after {
        [b's'] => false,
        [b'v', next, ..] if next.is_ascii_digit() => false,
        [next, ..] => next.is_ascii_lowercase(),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{metric_name, snake_case};

    #[test]
    fn words_are_told_apart() {
        for (field, expected) in [
            ("ListenOverflows", "listen_overflows"),
            ("SyncookiesSent", "syncookies_sent"),
            ("SACKReneging", "sack_reneging"),
            ("ReqQFullDoCookies", "req_q_full_do_cookies"),
            ("RcvQDrop", "rcv_q_drop"),
            ("DSACKOfoRecv", "dsack_ofo_recv"),
            ("HPHits", "hp_hits"),
            ("MD5NotFound", "md5_not_found"),
            ("InECT1Pkts", "in_ect1_pkts"),
            ("InNoECTPkts", "in_no_ect_pkts"),
            ("ACKSkippedFinWait2", "ack_skipped_fin_wait2"),
            ("ACKSkippedPAWS", "ack_skipped_paws"),
            ("DelayedACKs", "delayed_acks"),
            ("DelayedACKLost", "delayed_ack_lost"),
            ("ReasmOKs", "reasm_oks"),
            ("SpuriousRTOs", "spurious_rtos"),
            ("OutMLDv2Reports", "out_mldv2_reports"),
            ("OutType135", "out_type135"),
            ("MPJoinAckHMacFailure", "mp_join_ack_hmac_failure"),
            ("TW", "tw"),
            ("DefaultTTL", "default_ttl"),
            ("", ""),
        ] {
            assert_eq!(snake_case(field), expected);
        }
    }

    #[test]
    fn names_follow_from_group_and_field() {
        let name = |group, field| metric_name(group, field).unwrap();
        assert_eq!(
            name("TcpExt", "TCPSACKReneging"),
            "container_network_tcpext_sack_reneging_total"
        );
        assert_eq!(
            name("TcpExt", "TcpTimeoutRehash"),
            "container_network_tcpext_timeout_rehash_total"
        );
        assert_eq!(
            name("IpExt", "InOctets"),
            "container_network_ipext_in_octets_total"
        );
        assert_eq!(
            name("Udp6", "InCsumErrors"),
            "container_network_udp6_in_csum_errors_total"
        );
        assert_eq!(name("Tcp", "MaxConn"), "container_network_tcp_max_conn");
        assert_eq!(name("TcpExt", "TCP"), "container_network_tcpext_tcp_total");
        assert_eq!(
            name("MPTcpExt", "MPTCPRetrans"),
            "container_network_mptcpext_mptcp_retrans_total"
        );
    }

    #[test]
    fn what_prometheus_would_not_take_has_no_name() {
        for (group, field) in [("", "A"), ("A", ""), ("A", "b-c"), ("A", "ü"), ("A B", "C")] {
            assert_eq!(metric_name(group, field), None);
        }
    }
}
