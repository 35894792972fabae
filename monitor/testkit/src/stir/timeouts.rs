//! What waits for an answer in vain.

use std::io::Write;

use anyhow::Result;
use rustix::net::sockopt::set_tcp_user_timeout;

use super::inside::Inside;
use super::promise::TCP_EXT;
use super::queues::Full;
use super::tcp;
use crate::sys;

/// After how many milliseconds a sender gives up. The first repetition comes after 200, whose own
/// failure is what counts.
const PATIENCE: u32 = 250;

/// SYNs to a full accept queue that are repeated after a second: `syn_retrans`, `timeouts`; and
/// data that does not get to its receiver, until the sender gives up: `timeouts`,
/// `abort_on_timeout`. Both wait at the same time.
pub(super) fn unanswered(inside: &Inside, syns: usize, data: usize) -> Result<()> {
    let value = |counter| inside.value(&TCP_EXT, counter);
    let repeated = value("syn_retrans")? + syns as f64;
    let given_up = value("abort_on_timeout")? + data as f64;
    let full = Full::new()?;
    let mut clients = Vec::new();
    for _ in 0..syns {
        clients.push(full.knock()?);
    }
    let listener = tcp::listen()?;
    let mut ends = Vec::new();
    for _ in 0..data {
        let (mut client, server) = tcp::pair(&listener)?;
        set_tcp_user_timeout(&client, PATIENCE)?;
        sys::receive_nothing(&server)?;
        client.write_all(b"lost")?;
        ends.push((client, server));
    }
    inside.wait_for(&TCP_EXT, "abort_on_timeout", given_up)?;
    inside.wait_for(&TCP_EXT, "syn_retrans", repeated)?;
    for (_, server) in &ends {
        tcp::abort(server)?;
    }
    Ok(())
}
