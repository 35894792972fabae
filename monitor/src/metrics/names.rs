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
/// (`ReasmOKs`, `DelayedACKs`) and a version (`MLDv2`).
pub fn snake_case(name: &str) -> String {
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
        [b's', next, ..] if next.is_ascii_uppercase() => false,
        [b'v', next, ..] if next.is_ascii_digit() => false,
        [next, ..] => next.is_ascii_lowercase(),
        [] => false,
    }
}
