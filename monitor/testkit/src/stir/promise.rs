//! What is raised, on every kernel from 5.10 on, and whether it was.

use crate::files::Values;

/// Counters that the kernel keeps side by side, so that one can be mistaken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line that shows them, or for `Udp6` the start of their lines.
    pub group: &'static str,
    /// What follows `container_network_` in the names of its metrics.
    pub name: &'static str,
    /// The label `family` of its metrics; empty where they have none.
    pub family: &'static str,
    /// The counters, as their metrics name them, without `_total`.
    pub counters: &'static [&'static str],
}

/// What [`stir`](super::stir) raises: within a block no two have the same value. `curr_estab` is
/// not there, which is a gauge, and zero afterwards.
pub const RAISED: &[Block] = &[
    TCP,
    Block {
        counters: all_but_last(TCP_EXT.counters),
        ..TCP_EXT
    },
    Block {
        counters: all_but_last(UDP),
        ..UDP_V4
    },
    Block {
        counters: all_but_last(UDP),
        ..UDP_V6
    },
];

/// What [`stir_with_host`](super::stir_with_host) raises: all that is published. The last one of
/// each block counts sockets that the whole machine has no memory for.
pub const RAISED_WITH_HOST: &[Block] = &[TCP, TCP_EXT, UDP_V4, UDP_V6];

const TCP: Block = Block {
    group: "Tcp",
    name: "tcp",
    family: "",
    counters: &[
        "active_opens",
        "passive_opens",
        "attempt_fails",
        "estab_resets",
        "in_segs",
        "out_segs",
        "retrans_segs",
        "in_errs",
        "out_rsts",
    ],
};

pub(super) const TCP_EXT: Block = Block {
    group: "TcpExt",
    name: "tcpext",
    family: "",
    counters: &[
        "listen_overflows",
        "listen_drops",
        "req_q_full_drop",
        "req_q_full_do_cookies",
        "syncookies_sent",
        "timeouts",
        "syn_retrans",
        "abort_on_timeout",
        "abort_on_data",
        "abort_on_close",
        "backlog_drop",
        "rcv_q_drop",
        "prune_called",
        "time_wait_overflow",
        "abort_on_memory",
    ],
};

const UDP: &[&str] = &[
    "in_datagrams",
    "out_datagrams",
    "no_ports",
    "in_errors",
    "rcvbuf_errors",
    "sndbuf_errors",
    MEM_ERRORS,
];

pub(super) const UDP_V4: Block = Block {
    group: "Udp",
    name: "udp",
    family: "ipv4",
    counters: UDP,
};

pub(super) const UDP_V6: Block = Block {
    group: "Udp6",
    name: "udp",
    family: "ipv6",
    counters: UDP,
};

/// Shown since Linux 5.12.
const MEM_ERRORS: &str = "mem_errors";

const fn all_but_last(counters: &'static [&'static str]) -> &'static [&'static str] {
    match counters {
        [all @ .., _] => all,
        [] => counters,
    }
}

impl Block {
    /// The value of one of its counters, where this kernel has it.
    pub(super) fn value(&self, values: &Values, counter: &str) -> Option<f64> {
        let name = format!("container_network_{}_{counter}_total", self.name);
        let label = if self.family.is_empty() { "" } else { "family" };
        values.get(&(name, label, self.family)).copied()
    }

    /// The pairs of its counters that have the same value.
    pub(super) fn equal(&self, values: &Values) -> Vec<(&'static str, &'static str)> {
        let mut pairs = Vec::new();
        for (at, one) in self.counters.iter().enumerate() {
            for other in &self.counters[at + 1..] {
                let first = self.value(values, one);
                if first.is_some() && first == self.value(values, other) {
                    pairs.push((*one, *other));
                }
            }
        }
        pairs
    }
}

/// What is not as these blocks promise: counters that are zero or not there, and pairs with the
/// same value, a line each.
pub fn faults(values: &Values, blocks: &[Block]) -> Vec<String> {
    let mut faults = Vec::new();
    for block in blocks {
        let group = block.group;
        for counter in block.counters {
            match block.value(values, counter) {
                None if *counter == MEM_ERRORS => {}
                None => faults.push(format!("{group} {counter} is not there")),
                Some(0.0) => faults.push(format!("{group} {counter} is 0")),
                Some(_) => {}
            }
        }
        for (one, other) in block.equal(values) {
            faults.push(format!("{group} {one} and {other} are equal"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_zero_and_equal() {
        let block = Block {
            group: "Udp",
            name: "udp",
            family: "ipv4",
            counters: &["a", "b", "c", "d"],
        };
        let values = [("a", 3.0), ("b", 0.0), ("c", 3.0)].map(|(name, value)| {
            let name = format!("container_network_udp_{name}_total");
            ((name, "family", "ipv4"), value)
        });
        let faults = faults(&values.into(), &[block]);
        let expected = ["b is 0", "d is not there", "a and c are equal"];
        assert_eq!(faults, expected.map(|fault| format!("Udp {fault}")));
    }
}
