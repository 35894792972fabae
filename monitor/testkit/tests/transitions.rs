//! What is said to happen to sockets does happen, as far as the kernel's own counters tell: they
//! lose nothing.

use std::time::Instant;

use anyhow::{Context, Result};
use testkit::netns::Netns;
use testkit::peer::Family;
use testkit::transitions::{CASES, Counts, Pair};
use testkit::{proc_net_tcp, require};

/// How often each is played: an odd number, since many take turns.
const COUNT: u64 = 25;
/// Counters of `Tcp:`, and the transitions that they count.
const COUNTERS: [(&str, &[Pair]); 3] = [
    ("ActiveOpens", &[("close", "syn_sent")]),
    ("PassiveOpens", &[("listen", "syn_recv")]),
    (
        "EstabResets",
        &[("established", "close"), ("close_wait", "close")],
    ),
];

/// The names and values of `Tcp:`.
fn tcp(snmp: &str) -> Vec<&str> {
    let lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    lines.collect()
}

/// A counter of `Tcp:` in `/proc/<pid>/net/snmp`.
fn counter(snmp: &str, name: &str) -> Result<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let names = lines.next().context("no names")?.split(' ');
    let mut pairs = names.zip(lines.next().context("no values")?.split(' '));
    let (_, value) = pairs
        .find(|(column, _)| *column == name)
        .context("no such")?;
    Ok(value.parse()?)
}

fn count(counts: &Counts, pairs: &[Pair]) -> u64 {
    pairs.iter().filter_map(|pair| counts.get(pair)).sum()
}

#[test]
fn each_case_is_what_the_kernel_counts() -> Result<()> {
    testkit::require!(require::root());
    for case in CASES {
        for family in Family::ALL {
            let netns = Netns::new("kit-transitions")?;
            if !require::met(&[netns.enter(|| Ok(case.needs(family)))?]) {
                continue;
            }
            let start = Instant::now();
            netns.enter(|| case.play(family, COUNT))?;
            let name = format!("{} over {family:?}", case.name);
            eprintln!("{name}: {:?}", start.elapsed());
            let snmp = netns.read("net/snmp")?;
            let expected = case.expected(COUNT);
            for (counter_name, pairs) in COUNTERS {
                let seen = counter(&snmp, counter_name)?;
                let of_mptcp = case.name.contains("MPTCP") && counter_name == "EstabResets";
                assert!(
                    seen == count(&expected, pairs) || of_mptcp,
                    "{name}: {counter_name} is {seen}, expected {expected:?}"
                );
            }
            assert_eq!(counter(&snmp, "CurrEstab")?, 0, "{name}");
            // Nothing but what is left of sockets for a minute.
            for ((_, state), _) in proc_net_tcp::states(netns.pid())? {
                assert!(
                    ["time_wait", "fin_wait2"].contains(&state),
                    "{name}: {state}"
                );
            }
            // Nor does the question make a transition.
            netns.enter(|| Ok(case.needs(family)))?.ok();
            assert_eq!(tcp(&netns.read("net/snmp")?), tcp(&snmp), "{name}");
        }
    }
    Ok(())
}
