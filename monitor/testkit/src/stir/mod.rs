//! A workload that raises the published counters of one namespace, each to a value that no other
//! of its block has: a counter that is read in the place of another is seen by its value, which
//! it would not be while both are zero.
//!
//! Everything is done on loopback, by this process, and pinned to one CPU after another: the
//! kernel counts by CPU, and loopback receives where it sends. Raw sockets send what no socket
//! would. It takes root's rights, IPv6 and userfaultfd, but neither TUN devices nor programs.

mod backlog;
mod cpu;
mod fields;
mod host;
mod inside;
mod page;
mod promise;
mod queues;
mod raw;
mod receive;
mod sysctl;
mod tcp;
mod timeouts;
mod udp;

use anyhow::{Context, Result, bail};

use crate::netns::Netns;
use inside::Inside;
use udp::Udp;

pub use promise::{Block, RAISED, RAISED_WITH_HOST, faults};

/// How often equal values are driven apart before it is given up. Once or twice is enough.
const ROUNDS: usize = 50;

/// Raises all of [`RAISED`] in the namespace, and leaves no socket open. Takes a little more than
/// the second after which the kernel repeats a SYN.
///
/// # Errors
/// When something does not count as it should, or the namespace's process has ended.
pub fn stir(netns: &Netns) -> Result<()> {
    netns.enter(|| {
        let inside = Inside::new(netns.pid())?;
        timeouts::unanswered(&inside, 29, 17)?;
        for (more, cpu) in cpu::two()?.iter().enumerate() {
            cpu::pin(cpu)?;
            raise_all(&inside, more)?;
        }
        inside.quiet()?;
        drive_apart(&inside, RAISED)
    })
}

/// Does as [`stir`], and raises [`RAISED_WITH_HOST`] too, for which settings of the whole machine
/// are changed for a moment: its sockets run out of memory. Only for a machine that has nothing
/// else to do. Called outside of the namespace, in the machine's own.
///
/// # Errors
/// As [`stir`], and when the settings can't be changed.
pub fn stir_with_host(netns: &Netns) -> Result<()> {
    stir(netns)?;
    host::without_orphans(netns, 21)?;
    for (udp, count) in Udp::BOTH.into_iter().zip([22, 24]) {
        host::without_udp_memory(netns, udp, count)?;
    }
    netns.enter(|| {
        let inside = Inside::new(netns.pid())?;
        inside.quiet()?;
        drive_apart(&inside, RAISED_WITH_HOST)
    })
}

/// Everything that counts as often as it is done, or nearly so; `more` is what makes CPUs differ.
fn raise_all(inside: &Inside, more: usize) -> Result<()> {
    tcp::connections(3 + more)?;
    tcp::refused(17 + more)?;
    tcp::aborts_with_data_to_come(20 + more)?;
    tcp::aborts(25 + more)?;
    tcp::time_wait_overflows(inside, 30 + more)?;
    queues::overflows(inside, 35 + more)?;
    queues::requests_dropped(inside, 11 + more)?;
    queues::cookies(inside, 32 + more)?;
    queues::cookies_refused(inside, 7 + more)?;
    receive::drops(inside, 9 + more)?;
    receive::prunes_in_vain(inside, 4 + more)?;
    receive::prunes(inside, 9 + more)?;
    backlog::drops(inside, 53 + more)?;
    raw::bad_segments(5 + more)?;
    // Neither do both families have the same values.
    for (udp, more) in Udp::BOTH.into_iter().zip([more, more + 1]) {
        udp.exchange(20 + more)?;
        udp.unheard(13 + more)?;
        udp.bad(2 + more)?;
        udp.overflow(inside, 7 + more)?;
        udp.send_too_much(4 + more)?;
    }
    Ok(())
}

/// Raises a counter, by more each time, as long as it has the value of another one, or of a field
/// beside it.
fn drive_apart(inside: &Inside, blocks: &[Block]) -> Result<()> {
    for round in 0..ROUNDS {
        let values = inside.values()?;
        let mut done = true;
        for block in blocks {
            // Each has its turn: what raises one of two may raise the other too.
            let equal = block.equal(&values).first().copied();
            let mut equal: Vec<_> = equal.into_iter().flat_map(|(a, b)| [a, b]).collect();
            if equal.is_empty() {
                equal = inside.taken(block)?;
            }
            if let Some(counter) = equal.iter().cycle().nth(round) {
                let more = some_more(inside, block, counter, round + 1);
                more.with_context(|| format!("more of {counter}"))?;
                done = false;
            }
        }
        if done {
            return Ok(());
        }
        inside.quiet()?;
    }
    bail!("equal values after {ROUNDS} rounds: {:?}", inside.values()?);
}

/// Raises a counter by `count`.
fn some_more(inside: &Inside, block: &Block, counter: &str, count: usize) -> Result<()> {
    if let Some(udp) = Udp::of(block) {
        return match counter {
            "in_datagrams" => udp.exchange(count),
            "no_ports" | "out_datagrams" => udp.unheard(count),
            "in_errors" => udp.bad(count),
            "rcvbuf_errors" => udp.overflow(inside, count),
            "sndbuf_errors" => udp.send_too_much(count),
            _ => Ok(()),
        };
    }
    match counter {
        "active_opens" | "passive_opens" | "out_segs" => tcp::connections(count),
        "attempt_fails" => tcp::refused(count),
        "estab_resets" | "out_rsts" | "abort_on_data" => tcp::aborts(count),
        "in_segs" | "in_errs" => raw::bad_segments(count),
        "listen_overflows" => queues::overflows(inside, count),
        "listen_drops" | "req_q_full_drop" => queues::requests_dropped(inside, count),
        "req_q_full_do_cookies" => queues::cookies_refused(inside, count),
        "syncookies_sent" => queues::cookies(inside, count),
        "timeouts" | "abort_on_timeout" | "retrans_segs" => timeouts::unanswered(inside, 0, count),
        "syn_retrans" => timeouts::unanswered(inside, count, 0),
        "abort_on_close" => tcp::aborts_with_data_to_come(count),
        "backlog_drop" => backlog::drops(inside, count),
        "rcv_q_drop" => receive::drops(inside, count),
        "prune_called" => receive::prunes(inside, count),
        "time_wait_overflow" => tcp::time_wait_overflows(inside, count),
        // Those of the host, whose other is then raised.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{files, require};

    #[test]
    fn raises_what_it_promises() -> Result<()> {
        crate::require!(require::root());
        let netns = Netns::new("kit-stir")?;
        stir(&netns)?;
        let values = files::namespace_values(netns.pid())?;
        assert_eq!(faults(&values, RAISED), [""; 0], "{values:#?}");
        for counter in promise::UDP_V4
            .counters
            .iter()
            .filter(|c| **c != "mem_errors")
        {
            let of = |block: Block| block.value(&values, counter);
            assert_ne!(of(promise::UDP_V4), of(promise::UDP_V6), "{counter}");
        }
        // Nothing goes on behind it.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(files::namespace_values(netns.pid())?, values);
        Ok(())
    }
}
