//! The judge of socket counts: `ss` of iproute2, run inside a namespace.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::child::{find_program, output};
use crate::netns::command;

/// How many TCP sockets are in which state, keyed by the values of the metric labels: family
/// (`ipv4`, `ipv6`) and state (`established`, `time_wait`, …). What there is none of is not there.
pub type States = BTreeMap<(&'static str, &'static str), u64>;

/// Counts the TCP sockets of the network namespace of the process `pid`.
///
/// # Errors
/// When `ss` is not there or fails, or names an unknown state.
pub fn states(pid: u32) -> Result<States> {
    let mut states = States::new();
    for (option, family) in [("-4", "ipv4"), ("-6", "ipv6")] {
        for line in run(pid, &["-H", "-t", "-a", "-n", option])?.lines() {
            let name = line.split_whitespace().next().unwrap_or("");
            *states.entry((family, label(name)?)).or_default() += 1;
        }
    }
    Ok(states)
}

/// How many sockets of both families are in `state`.
pub fn total(states: &States, state: &str) -> u64 {
    let matching = states.iter().filter(|((_, name), _)| *name == state);
    matching.map(|(_, count)| count).sum()
}

/// The length of the accept queue of each listener (`Recv-Q`) and its limit (`Send-Q`), by port.
///
/// # Errors
/// When `ss` is not there or fails.
pub fn listeners(pid: u32) -> Result<Vec<(u16, u64, u64)>> {
    let text = run(pid, &["-H", "-t", "-l", "-n"])?;
    let listener = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (used, limit) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let port = fields.next()?.rsplit(':').next()?.parse().ok()?;
        Some((port, used, limit))
    };
    let lines = text.lines();
    lines
        .map(|line| listener(line).with_context(|| format!("can't read {line:?} of ss")))
        .collect()
}

/// Runs `ss` with `options` in the network namespace of the process `pid`.
///
/// # Errors
/// When `ss` is not there or fails.
pub fn run(pid: u32, options: &[&str]) -> Result<String> {
    let ss = find_program("ss").context("can't find the program ss: install iproute2")?;
    output(command(pid, ss)?.args(options))
}

/// The label value for a state as `ss` names it.
fn label(name: &str) -> Result<&'static str> {
    Ok(match name {
        "ESTAB" => "established",
        "SYN-SENT" => "syn_sent",
        "SYN-RECV" => "syn_recv",
        "FIN-WAIT-1" => "fin_wait1",
        "FIN-WAIT-2" => "fin_wait2",
        "TIME-WAIT" => "time_wait",
        "CLOSE-WAIT" => "close_wait",
        "LAST-ACK" => "last_ack",
        "LISTEN" => "listen",
        "CLOSING" => "closing",
        // Bound and not connected: no state of the contract.
        "UNCONN" => "close",
        other => bail!("ss names a state {other:?}"),
    })
}
