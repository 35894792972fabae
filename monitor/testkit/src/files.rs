//! The judge of namespace-scoped series: a namespace's own files under `/proc/<pid>/net`, read
//! naively and mapped to the metric contract by a table of its own. Shares nothing with the
//! exporter's parsers and tables.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::metrics::Metrics;

/// Values by metric name and the label that tells the series of a family apart (name and value;
/// both empty where there is none).
pub type Values = BTreeMap<(String, &'static str, &'static str), f64>;

const PROTOCOLS: [(&str, &str); 8] = [
    ("TCP", "tcp"),
    ("TCP6", "tcp6"),
    ("UDP", "udp"),
    ("UDP6", "udp6"),
    ("UDPLITE", "udplite"),
    ("UDPLITE6", "udplite6"),
    ("RAW", "raw"),
    ("RAW6", "raw6"),
];

const TCP: [(&str, &str); 9] = [
    ("ActiveOpens", "active_opens"),
    ("PassiveOpens", "passive_opens"),
    ("AttemptFails", "attempt_fails"),
    ("EstabResets", "estab_resets"),
    ("InSegs", "in_segs"),
    ("OutSegs", "out_segs"),
    ("RetransSegs", "retrans_segs"),
    ("InErrs", "in_errs"),
    ("OutRsts", "out_rsts"),
];

const UDP: [(&str, &str); 7] = [
    ("InDatagrams", "in_datagrams"),
    ("OutDatagrams", "out_datagrams"),
    ("NoPorts", "no_ports"),
    ("InErrors", "in_errors"),
    ("RcvbufErrors", "rcvbuf_errors"),
    ("SndbufErrors", "sndbuf_errors"),
    ("MemErrors", "mem_errors"),
];

const TCP_EXT: [(&str, &str); 15] = [
    ("ListenOverflows", "listen_overflows"),
    ("ListenDrops", "listen_drops"),
    ("TCPReqQFullDrop", "req_q_full_drop"),
    ("TCPReqQFullDoCookies", "req_q_full_do_cookies"),
    ("SyncookiesSent", "syncookies_sent"),
    ("TCPTimeouts", "timeouts"),
    ("TCPSynRetrans", "syn_retrans"),
    ("TCPAbortOnTimeout", "abort_on_timeout"),
    ("TCPAbortOnMemory", "abort_on_memory"),
    ("TCPAbortOnData", "abort_on_data"),
    ("TCPAbortOnClose", "abort_on_close"),
    ("TCPBacklogDrop", "backlog_drop"),
    ("TCPRcvQDrop", "rcv_q_drop"),
    ("PruneCalled", "prune_called"),
    ("TCPTimeWaitOverflow", "time_wait_overflow"),
];

/// What the namespace-scoped families of the contract should say of the network namespace of the
/// process `pid`. A field that this kernel does not have is not there.
///
/// # Errors
/// When the process is gone, or a file can't be understood.
pub fn namespace_values(pid: u32) -> Result<Values> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/net/{file}");
        std::fs::read_to_string(&path).with_context(|| format!("can't read {path}"))
    };
    let mut fields = pairs_on_a_line(&read("sockstat")?)?;
    fields.extend(pairs_of_lines(&read("snmp")?)?);
    fields.extend(pairs_of_lines(&read("netstat")?)?);
    // Not there where the kernel has no IPv6.
    if let (Ok(sockstat6), Ok(snmp6)) = (read("sockstat6"), read("snmp6")) {
        fields.extend(pairs_on_a_line(&sockstat6)?);
        for line in snmp6.lines() {
            let (name, value) = line.split_once(char::is_whitespace).context("snmp6")?;
            if let Some(name) = name.strip_prefix("Udp6") {
                fields.insert(("Udp6".into(), name.into()), value.trim().parse()?);
            }
        }
    }

    let mut values = Values::new();
    let mut put = |name: &str, label, value, group: &str, field: &str| {
        if let Some(&number) = fields.get(&(group.to_owned(), field.to_owned())) {
            let name = format!("container_network_{name}");
            values.insert((name, label, value), number);
        }
    };
    put("sockets_used", "", "", "sockets", "used");
    for (group, protocol) in PROTOCOLS {
        put("sockets_inuse", "protocol", protocol, group, "inuse");
    }
    for (group, protocol) in [("FRAG", "ip"), ("FRAG6", "ip6")] {
        put("fragment_queues", "protocol", protocol, group, "inuse");
        put(
            "fragment_memory_bytes",
            "protocol",
            protocol,
            group,
            "memory",
        );
    }
    put("tcp_time_wait_sockets", "", "", "TCP", "tw");
    put("tcp_curr_estab", "", "", "Tcp", "CurrEstab");
    for (field, name) in TCP {
        put(&format!("tcp_{name}_total"), "", "", "Tcp", field);
    }
    for (group, family) in [("Udp", "ipv4"), ("Udp6", "ipv6")] {
        for (field, name) in UDP {
            put(&format!("udp_{name}_total"), "family", family, group, field);
        }
    }
    for (field, name) in TCP_EXT {
        put(&format!("tcpext_{name}_total"), "", "", "TcpExt", field);
    }
    Ok(values)
}

/// Every field of `snmp`, `snmp6` and `netstat` of the network namespace of the process `pid`, by
/// `Group Field`; in `snmp6`, which has no groups, by its name there.
///
/// # Errors
/// When the process is gone, or a file can't be understood.
pub fn all_fields(pid: u32) -> Result<BTreeMap<String, f64>> {
    let mut fields = BTreeMap::new();
    for file in ["snmp", "netstat"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{file}"));
        let text = text.with_context(|| format!("can't read {file}"))?;
        for ((group, field), value) in pairs_of_lines(&text)? {
            fields.insert(format!("{group} {field}"), value);
        }
    }
    // Not there where the kernel has no IPv6.
    let snmp6 = std::fs::read_to_string(format!("/proc/{pid}/net/snmp6"));
    for line in snmp6.unwrap_or_default().lines() {
        let (name, value) = line.split_once(char::is_whitespace).context("snmp6")?;
        fields.insert(name.to_owned(), value.trim().parse()?);
    }
    Ok(fields)
}

/// Whether a field of [`all_fields`] is one of those that [`namespace_values`] looks at.
pub fn is_of_the_contract(field: &str) -> bool {
    let of = |group: &str, names: &[(&str, &str)]| {
        let name = field.strip_prefix(group);
        name.is_some_and(|name| names.iter().any(|(known, _)| *known == name))
    };
    of("Tcp ", &TCP)
        || of("Tcp ", &[("CurrEstab", "")])
        || of("TcpExt ", &TCP_EXT)
        || of("Udp ", &UDP)
        || of("Udp6", &UDP)
}

/// Compares a scrape with the files as they were before and after it. The series of the owner
/// `identity` must lie between both, and be there if, and only if, the kernel has the field. Gives
/// what is wrong, a line each.
pub fn differences(
    scrape: &Metrics,
    identity: &[(&str, &str)],
    before: &Values,
    after: &Values,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((name, label, value), &first) in before {
        let mut labels = identity.to_vec();
        if !label.is_empty() {
            labels.push((label, value));
        }
        let last = after.get(&(name.clone(), label, value)).copied();
        let (low, high) = (
            first.min(last.unwrap_or(first)),
            first.max(last.unwrap_or(first)),
        );
        match scrape.value(name, &labels) {
            Ok(seen) if (low..=high).contains(&seen) => {}
            Ok(seen) => wrong.push(format!(
                "{name}{labels:?} is {seen}, the file says {low} to {high}"
            )),
            Err(error) => wrong.push(format!("{error:#}, the file says {low}")),
        }
    }
    let known: Vec<&str> = before.keys().map(|(name, ..)| name.as_str()).collect();
    let judged = |name: &str| known.contains(&name);
    let series = scrape.labelled(identity);
    let seen = series.iter().filter(|sample| judged(&sample.name)).count();
    if seen > before.len() {
        wrong.push(format!(
            "{identity:?} has {seen} series of these families, the files have {} fields",
            before.len()
        ));
    }
    wrong
}

type Fields = BTreeMap<(String, String), f64>;

/// `TCP: inuse 3 orphan 0`
fn pairs_on_a_line(text: &str) -> Result<Fields> {
    let mut fields = Fields::new();
    for line in text.lines() {
        let (group, rest) = line.split_once(':').context("no group")?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        for pair in words.chunks_exact(2) {
            fields.insert((group.into(), pair[0].into()), pair[1].parse()?);
        }
    }
    Ok(fields)
}

/// `Tcp: RtoMin ActiveOpens`, then `Tcp: 200 7`
fn pairs_of_lines(text: &str) -> Result<Fields> {
    let mut fields = Fields::new();
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.chunks_exact(2) {
        let (group, names) = pair[0].split_once(':').context("no group")?;
        let (_, values) = pair[1].split_once(':').context("no group")?;
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            fields.insert((group.into(), name.into()), value.parse()?);
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_differences() -> Result<()> {
        let before = namespace_values(std::process::id())?;
        assert!(before.len() > 40, "{before:?}");
        let mut text = String::new();
        for ((name, label, value), number) in &before {
            text += &match *label {
                "" => format!("{name}{{container=\"x\"}} {number}\n"),
                label => format!("{name}{{container=\"x\",{label}=\"{value}\"}} {number}\n"),
            };
        }
        let identity = [("container", "x")];
        let scrape = Metrics::parse(&text)?;
        assert!(differences(&scrape, &identity, &before, &before).is_empty());

        let mut other = scrape.clone();
        other.samples[0].value += 1.0;
        assert_eq!(differences(&other, &identity, &before, &before).len(), 1);
        other.samples.remove(0);
        assert_eq!(differences(&other, &identity, &before, &before).len(), 1);
        let mut fewer = before.clone();
        fewer.pop_first();
        assert_eq!(differences(&scrape, &identity, &fewer, &fewer).len(), 1);
        Ok(())
    }
}
