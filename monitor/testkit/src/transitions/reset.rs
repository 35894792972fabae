//! Connections that are reset.

use std::net::Shutdown;

use anyhow::{Result, ensure};
use rustix::net::RecvFlags;
use socket2::SockFilter;

use super::counts::{Counts, LISTENER, OPENED, RESET, sum};
use super::destroy::destroy;
use super::loopback::{CLOSE, FIN_WAIT1, Loopback, abort, addresses, finish_first, in_turn, reach};
use crate::sys;

/// A filter of segments that lets none through: `BPF_RET | BPF_K` of no bytes.
const DROP_ALL: SockFilter = SockFilter::new(6, 0, 0, 0);

/// What follows when both ends are established until they are closed.
pub(super) fn both_at_once(count: u64) -> Counts {
    sum(&[(&LISTENER, 1), (&OPENED, count), (&RESET, 2 * count)])
}

pub(super) fn without_lingering(on: Loopback, count: u64) -> Result<()> {
    let server = on.serve()?;
    for round in 0..count {
        let (first, second) = in_turn(round, server.pair()?);
        abort(first)?;
        reach(&second, CLOSE)?;
    }
    Ok(())
}

pub(super) fn without_reading(on: Loopback, count: u64) -> Result<()> {
    let server = on.serve()?;
    for round in 0..count {
        let (first, second) = in_turn(round, server.pair()?);
        second.send(b".")?;
        let (seen, _) = rustix::net::recv(&first, &mut [0; 1][..], RecvFlags::PEEK)?;
        ensure!(seen == 1, "nothing came");
        drop(first);
        reach(&second, CLOSE)?;
    }
    Ok(())
}

/// By the end that has closed in even rounds, by the other one in odd ones.
pub(super) fn half_closed(on: Loopback, count: u64) -> Result<()> {
    let server = on.serve()?;
    for round in 0..count {
        let (first, second) = server.pair()?;
        finish_first(&first, &second)?;
        let (resets, other) = in_turn(round, (first, second));
        abort(resets)?;
        reach(&other, CLOSE)?;
    }
    Ok(())
}

/// By an end that hears nothing, so that the other one's FIN is not acknowledged. Half of those
/// that wait for that are closed meanwhile: a transition from a state to itself, which is none.
pub(super) fn in_fin_wait1(on: Loopback, count: u64) -> Result<()> {
    let server = on.serve()?;
    for round in 0..count {
        let (first, second) = in_turn(round, server.pair()?);
        second.attach_filter(&[DROP_ALL])?;
        first.shutdown(Shutdown::Write)?;
        let state = sys::tcp_state(&first)?;
        ensure!(state == FIN_WAIT1, "the FIN was heard: state {state}");
        if round % 4 < 2 {
            drop(first);
            abort(second)?;
        } else {
            abort(second)?;
            reach(&first, CLOSE)?;
        }
    }
    Ok(())
}

/// By somebody else: both kinds of ends, and the listener last.
pub(super) fn destroyed(on: Loopback, count: u64) -> Result<()> {
    let server = on.serve()?;
    for round in 0..count {
        let (first, second) = in_turn(round, server.pair()?);
        let (local, remote) = addresses(&first)?;
        destroy(local, remote)?;
        reach(&first, CLOSE)?;
        reach(&second, CLOSE)?;
    }
    destroy(server.address, on.any_address())?;
    reach(&server.listener, CLOSE)
}
