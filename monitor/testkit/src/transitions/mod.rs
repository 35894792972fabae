//! What happens to sockets on loopback, and the transitions of TCP states that it makes: every
//! row of the kernel's ways from one state to another, in all families.
//!
//! What is expected holds exactly for a kernel that loses no event, of any version from 5.10 on:
//! no queue is filled but one whose overflow is the case, and no SYN cookie is sent but where the
//! case demands them.

mod close;
mod connect;
mod counts;
mod destroy;
mod listener;
mod loopback;
mod mptcp;
mod open;
mod reset;

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};

use crate::peer::Family;
use crate::require::{Need, Unmet};
use loopback::{Loopback, SOON};

pub use counts::{Counts, Pair};

/// How often a case can be played at once: some keep that many sockets open,
/// and a process has 1,024 descriptors where nobody gave it more.
pub const MOST: u64 = 400;

/// Something done to sockets, and the transitions that follow.
#[derive(Debug)]
pub struct Case {
    /// What it is.
    pub name: &'static str,
    needs: fn(Loopback) -> Need,
    act: fn(Loopback, u64) -> Result<()>,
    expected: fn(u64) -> Counts,
    /// Pairs that follow too, as often as the kernel's timing has it.
    besides: &'static [Pair],
}

impl Case {
    /// What it needs of the kernel. Asked inside the namespace, it makes no transition there.
    ///
    /// # Errors
    /// What is missing.
    pub fn needs(&self, family: Family) -> Need {
        let address = Loopback(family).address(0);
        let there = UdpSocket::bind(address).map(drop);
        there.map_err(|error| Unmet(format!("the address {}: {error}", address.ip())))?;
        (self.needs)(Loopback(family))
    }

    /// Does it `count` times, [`MOST`] at most, in the network namespace of this thread, where nobody
    /// else has sockets of TCP. Nothing is left of it when this returns but minisocks, and no
    /// transition is still to come.
    ///
    /// # Errors
    /// When something else happens than should.
    pub fn play(&self, family: Family, count: u64) -> Result<()> {
        ensure!(count <= MOST, "{count} times is too often: {MOST} at most");
        let before = loopback::sockets()?;
        let play = || {
            (self.act)(Loopback(family), count)?;
            crate::wait::until("no socket left", SOON, || {
                Ok((loopback::sockets()? <= before).then_some(()))
            })
        };
        play().with_context(|| format!("{} over {family:?}", self.name))
    }

    /// All transitions that follow when it is played `count` times, but for those whose number is
    /// not determined.
    pub fn expected(&self, count: u64) -> Counts {
        (self.expected)(count)
    }

    /// Demands that `seen` is what follows when it was played once for each of `counts`, so often:
    /// each number the expected one, within what `slack` gives for it, no other pair, and no
    /// socket that has entered a state and not left it.
    ///
    /// # Errors
    /// With all that differs.
    pub fn check(&self, counts: &[u64], seen: &Counts, slack: fn(u64) -> u64) -> Result<()> {
        let mut expected = Counts::new();
        for (pair, count) in counts.iter().flat_map(|count| self.expected(*count)) {
            *expected.entry(pair).or_default() += count;
        }
        counts::check(&expected, self.besides, seen, slack)
            .with_context(|| format!("{}: seen {seen:?}", self.name))
    }
}

fn nothing(_: Loopback) -> Need {
    Ok(())
}

/// All cases.
pub const CASES: &[Case] = &[
    Case {
        name: "connections, closed by either end",
        needs: nothing,
        act: open::connections,
        expected: |count| counts::opened_and_closed(count),
        besides: &[],
    },
    Case {
        name: "connections by SYN cookies",
        needs: open::cookies_are_there,
        act: open::by_cookies,
        expected: |count| counts::opened_and_closed(count),
        besides: &[],
    },
    Case {
        name: "connected to itself, and closed at both ends at once",
        needs: nothing,
        act: open::to_itself,
        expected: |count| {
            counts::sum(&[
                (&counts::CONNECTING, count),
                (&counts::TO_ITSELF, count),
                (&counts::CLOSED_AT_ONCE, count),
            ])
        },
        besides: &[],
    },
    Case {
        name: "subflows of MPTCP",
        needs: mptcp::is_there,
        act: mptcp::connections,
        expected: |count| counts::sum(&[(&counts::LISTENER, 1), (&counts::OPENED, count)]),
        besides: mptcp::BESIDES,
    },
    Case {
        name: "refused",
        needs: nothing,
        act: connect::refused,
        expected: |count| counts::sum(&[(&counts::CONNECTING, count), (&counts::IN_VAIN, count)]),
        besides: &[],
    },
    Case {
        name: "timed out while connecting to a full queue",
        needs: nothing,
        act: connect::timed_out,
        expected: connect::in_vain_to_full,
        besides: &[],
    },
    Case {
        name: "closed while connecting to a full queue",
        needs: nothing,
        act: connect::closed_while_connecting,
        expected: connect::in_vain_to_full,
        besides: &[],
    },
    Case {
        name: "half-closed by either end, and shut down again",
        needs: nothing,
        act: close::half_closed,
        expected: |count| counts::opened_and_closed(count),
        besides: &[],
    },
    Case {
        name: "closed in FIN_WAIT2",
        needs: nothing,
        act: close::in_fin_wait2,
        expected: |count| counts::opened_and_closed(count),
        besides: &[],
    },
    Case {
        name: "reset by either end that does not linger",
        needs: nothing,
        act: reset::without_lingering,
        expected: reset::both_at_once,
        besides: &[],
    },
    Case {
        name: "reset by either end that has not read",
        needs: nothing,
        act: reset::without_reading,
        expected: reset::both_at_once,
        besides: &[],
    },
    Case {
        name: "reset by either end when half-closed",
        needs: nothing,
        act: reset::half_closed,
        expected: |count| {
            counts::sum(&[
                (&counts::LISTENER, 1),
                (&counts::OPENED, count),
                (&counts::HALF_CLOSED_AND_RESET, count),
            ])
        },
        besides: &[],
    },
    Case {
        name: "reset in FIN_WAIT1, also when closed",
        needs: nothing,
        act: reset::in_fin_wait1,
        expected: |count| {
            counts::sum(&[
                (&counts::LISTENER, 1),
                (&counts::OPENED, count),
                (
                    &[("established", "fin_wait1"), ("fin_wait1", "close")],
                    count,
                ),
                (&counts::RESET, count),
            ])
        },
        besides: &[],
    },
    Case {
        name: "destroyed as by ss -K",
        needs: destroy::is_there,
        act: reset::destroyed,
        expected: reset::both_at_once,
        besides: &[],
    },
    Case {
        name: "listeners closed, shut down, and listening again",
        needs: nothing,
        act: listener::alone,
        expected: |count| counts::sum(&[(&counts::LISTENER, 2 * count)]),
        besides: &[],
    },
    Case {
        name: "a listener closed before it accepts",
        needs: nothing,
        act: listener::closed,
        expected: listener::never_accepted,
        besides: &[],
    },
    Case {
        name: "a listener shut down before it accepts",
        needs: nothing,
        act: listener::shut_down,
        expected: listener::never_accepted,
        besides: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_leaves_no_socket_and_is_told_from_anything_else() {
        let exactly = |_| 0;
        for case in CASES {
            let seen = case.expected(7);
            if case.besides.is_empty() {
                case.check(&[7], &seen, exactly).unwrap();
            }
            assert!(case.check(&[8], &seen, exactly).is_err(), "{}", case.name);
            for pair in seen.keys() {
                for change in [|count: u64| count + 1, |count: u64| count - 1] {
                    let mut seen = seen.clone();
                    seen.entry(*pair)
                        .and_modify(|count| *count = change(*count));
                    assert!(case.check(&[7], &seen, exactly).is_err(), "{}", case.name);
                }
            }
        }
    }
}
