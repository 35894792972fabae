//! Connections that are closed in order, by steps.

use std::io::Read;
use std::net::Shutdown;

use anyhow::Result;

use super::loopback::{CLOSE, Loopback, finish_first, in_turn, reach};

/// Each way is closed by itself, and says something after the other one is.
pub(super) fn half_closed(on: Loopback, count: u64) -> Result<()> {
    let server = on.serve()?;
    for round in 0..count {
        let (first, second) = in_turn(round, server.pair()?);
        finish_first(&first, &second)?;
        // Once more changes nothing.
        first.shutdown(Shutdown::Write)?;
        second.send(b".")?;
        (&first).read_exact(&mut [0])?;
        second.shutdown(Shutdown::Write)?;
        reach(&second, CLOSE)?;
        reach(&first, CLOSE)?;
        // Nor does the close of what is closed.
    }
    Ok(())
}

/// The close of a socket that was shut down is a transition from a state to itself, which is none.
pub(super) fn in_fin_wait2(on: Loopback, count: u64) -> Result<()> {
    let server = on.serve()?;
    for round in 0..count {
        let (first, second) = in_turn(round, server.pair()?);
        finish_first(&first, &second)?;
        drop(first);
        second.shutdown(Shutdown::Write)?;
        reach(&second, CLOSE)?;
    }
    Ok(())
}
