//! The judge of socket counts: `ss` of iproute2, run inside a namespace.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::child::{find_program, output};
use crate::netns::command;

/// How many TCP sockets are in which state, keyed by the values of the metric labels: family
/// (`ipv4`, `ipv6`) and state (`established`, `time_wait`, …). What there is none of is not there.
pub type States = BTreeMap<(&'static str, &'static str), u64>;

/// A listener: its port and family, the length of its accept queue and the limit of that length.
pub type Listener = (u16, &'static str, u64, u64);

/// Counts the TCP sockets of the network namespace of the process `pid`.
///
/// # Errors
/// When `ss` is not there or fails, or names an unknown state.
pub fn states(pid: u32) -> Result<States> {
    parse_states(&run(pid, &["-H", "-t", "-a", "-n"])?)
}

/// How many sockets of both families are in `state`.
pub fn total(states: &States, state: &str) -> u64 {
    let matching = states.iter().filter(|((_, name), _)| *name == state);
    matching.map(|(_, count)| count).sum()
}

/// The listeners, with the length of each accept queue (`Recv-Q`) and its limit (`Send-Q`), in no
/// particular order.
///
/// # Errors
/// When `ss` is not there or fails.
pub fn listeners(pid: u32) -> Result<Vec<Listener>> {
    let text = run(pid, &["-H", "-t", "-l", "-n"])?;
    text.lines().map(listener).collect()
}

/// Runs `ss` with `options` in the network namespace of the process `pid`.
///
/// # Errors
/// When `ss` is not there or fails.
pub fn run(pid: u32, options: &[&str]) -> Result<String> {
    let ss = find_program("ss").context("can't find the program ss: install iproute2")?;
    output(command(pid, ss)?.args(options))
}

/// The counts of what `ss -H -t -a -n` prints: one run for both families is one process, and nearer
/// to one moment, than a run for each.
fn parse_states(text: &str) -> Result<States> {
    let mut states = States::new();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let name = fields.next().unwrap_or("");
        let local = fields.nth(2).unwrap_or("");
        *states.entry((family(local)?, label(name)?)).or_default() += 1;
    }
    Ok(states)
}

/// A line of `ss -H -t -l -n`.
fn listener(line: &str) -> Result<Listener> {
    let read = || -> Option<Listener> {
        let mut fields = line.split_whitespace().skip(1);
        let (used, limit) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let local = fields.next()?;
        let port = local.rsplit(':').next()?.parse().ok()?;
        Some((port, family(local).ok()?, used, limit))
    };
    read().with_context(|| format!("can't read {line:?} of ss"))
}

/// The family of a socket, by its own address as `ss` writes it. An IPv6 socket's is in brackets,
/// with a v4-mapped one too, and `*` when it is any address of both families.
fn family(local: &str) -> Result<&'static str> {
    match local.as_bytes().first() {
        Some(b'[' | b'*') => Ok("ipv6"),
        Some(b'0'..=b'9') => Ok("ipv4"),
        _ => bail!("can't read the address {local:?} of ss"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::Netns;
    use crate::require;
    use crate::workload::Where;
    use std::net::{SocketAddr, TcpStream};

    #[test]
    fn reads_every_kind_of_address() -> Result<()> {
        // As iproute2 6.1 prints them.
        let states = parse_states(
            "LISTEN     0 5               0.0.0.0:8001            0.0.0.0:*    \n\
             LISTEN     0 5             127.0.0.1%lo:8003         0.0.0.0:*    \n\
             LISTEN     0 5                     *:8000                  *:*    \n\
             LISTEN     0 5                  [::]:8002               [::]:*    \n\
             SYN-RECV   0 0             127.0.0.1:8003          127.0.0.1:41888\n\
             CLOSE-WAIT 1 0    [::ffff:127.0.0.1]:8000 [::ffff:127.0.0.1]:48144\n\
             TIME-WAIT  0 0        [fe80::1]%eth0:80            [fe80::2]:41234\n",
        )?;
        let expected = States::from([
            (("ipv4", "listen"), 2),
            (("ipv4", "syn_recv"), 1),
            (("ipv6", "close_wait"), 1),
            (("ipv6", "listen"), 2),
            (("ipv6", "time_wait"), 1),
        ]);
        assert_eq!(states, expected);
        assert!(parse_states("ESTAB 0 0 localhost:80 localhost:81\n").is_err());
        assert!(parse_states("ESTAB 0\n").is_err());
        assert!(parse_states("WALKING 0 0 127.0.0.1:80 127.0.0.1:81\n").is_err());
        Ok(())
    }

    /// One run gives what one run for each family does, and knows a dual-stack listener.
    #[test]
    fn tells_families_apart_as_ss_does() -> Result<()> {
        crate::require!(require::root(), require::program("ss"));
        let netns = Netns::new("kit-ss")?;
        let sockets = netns.enter(|| {
            let both = Where::Port(80).listen(7)?;
            let v6 = Where::Address("[::1]:81".parse()?).listen(8)?;
            let v4 = Where::Address("127.0.0.1:82".parse()?).listen(9)?;
            let to = ["[::1]:80", "127.0.0.1:80", "[::ffff:127.0.0.1]:82"];
            let connect = |to: &str| Ok(TcpStream::connect(to.parse::<SocketAddr>()?)?);
            let clients = to.into_iter().map(connect).collect::<Result<Vec<_>>>()?;
            Ok(([both, v6, v4], clients))
        })?;
        let seen = states(netns.pid())?;
        for (option, family) in [("-4", "ipv4"), ("-6", "ipv6")] {
            let lines = run(netns.pid(), &["-H", "-t", "-a", "-n", option])?;
            let count = seen.iter().filter(|((of, _), _)| *of == family);
            let count: u64 = count.map(|(_, count)| count).sum();
            assert_eq!(lines.lines().count() as u64, count, "{seen:?}\n{lines}");
        }
        // The client of 127.0.0.1:80 and the server's end of the mapped one, which has `v4`.
        assert_eq!(seen[&("ipv4", "established")], 2, "{seen:?}");
        assert_eq!(seen[&("ipv6", "established")], 4, "{seen:?}");
        let mut found = listeners(netns.pid())?;
        found.sort_unstable();
        let expected = [(80, "ipv6", 2, 7), (81, "ipv6", 0, 8), (82, "ipv4", 1, 9)];
        assert_eq!(found, expected);
        drop(sockets);
        Ok(())
    }
}
