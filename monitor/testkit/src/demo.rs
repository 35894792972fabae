//! Demo workloads: server and clients in one process, in a network namespace of their own, named
//! by their command names. For trying the monitor on a machine without containers.

use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::netns::Netns;
use crate::wait;
use crate::workload::{self, Pace, Where, exchange};

/// The subcommand under which a program offers [`run`], with the kind as its argument.
pub const SUBCOMMAND: &str = "demo-workload";

/// What a demo workload does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A server with clients that stay, over both families.
    Web,
    /// A server that leaks CLOSE_WAIT.
    CloseWait,
    /// A churn of short connections.
    Churn,
    /// A full accept queue.
    Backlog,
    /// UDP.
    Udp,
}

/// Every kind, in the order of a demo.
pub const KINDS: [Kind; 5] = [
    Kind::Web,
    Kind::CloseWait,
    Kind::Churn,
    Kind::Backlog,
    Kind::Udp,
];

/// Connections that stay, of the web demo: over IPv4 and over IPv6.
pub const WEB_CLIENTS: (usize, usize) = (20, 5);
/// Connections that the leaking demo leaks in all, two a second.
pub const LEAKS: usize = 50;
/// Connections a second of the churning demo.
pub const CHURN: u32 = 20;
/// Length of the accept queue that never empties; one more connection than that is in it.
pub const BACKLOG: u32 = 8;
/// UDP senders.
pub const SENDERS: usize = 10;

const PORT: u16 = 8080;

impl Kind {
    /// The command name, and so the container's name where there is no runtime.
    pub fn name(self) -> &'static str {
        match self {
            Self::Web => "demo-web",
            Self::CloseWait => "demo-close-wait",
            Self::Churn => "demo-churn",
            Self::Backlog => "demo-backlog",
            Self::Udp => "demo-udp",
        }
    }

    /// What a user will see of it, in a line.
    pub fn description(self) -> &'static str {
        match self {
            Self::Web => "a server with 20 clients over IPv4 and 5 over IPv6",
            Self::CloseWait => "a server that never closes: 50 leaked CLOSE_WAIT",
            Self::Churn => "20 short connections a second: up to 1,200 TIME_WAIT",
            Self::Backlog => "an accept queue of 8 that is full, and 4 clients in SYN_SENT",
            Self::Udp => "10 UDP senders, one datagram in ten to a closed port",
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = KINDS.map(Kind::name).join(", ");
        KINDS
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| anyhow!("no such demo: there are {known}"))
    }
}

/// A running demo workload. Dropping it stops it, and with it its namespace.
#[derive(Debug)]
pub struct Demo {
    /// What it does.
    pub kind: Kind,
    /// Where it does it.
    pub netns: Netns,
}

/// Starts `exe demo-workload <kind>` in a new network namespace.
///
/// # Errors
/// When `exe` can't be started or has no such subcommand, or without root's rights.
pub fn spawn(exe: &Path, kind: Kind) -> Result<Demo> {
    let mut command = Command::new(exe);
    command.arg(SUBCOMMAND).arg(kind.name());
    let mut netns = Netns::with_holder(command)?;
    let what = format!("{} is up", kind.name());
    let comm = format!("/proc/{}/comm", netns.pid());
    wait::until(&what, Duration::from_secs(5), || {
        let name = std::fs::read_to_string(&comm)?;
        if !netns.holder.is_alive()? {
            return Err(anyhow!("{} ended at once", kind.name()));
        }
        Ok((name.trim_end() == kind.name()).then_some(()))
    })?;
    Ok(Demo { kind, netns })
}

/// What the subcommand does: takes the kind's command name and works for ever in the network
/// namespace it is in.
///
/// # Errors
/// When sockets can't be made.
pub fn run(kind: Kind) -> Result<()> {
    let name = std::ffi::CString::new(kind.name())?;
    rustix::thread::set_name(&name).context("can't take the name")?;
    let ipv4 = Where::Address(([127, 0, 0, 1], PORT).into());
    let to = ([127, 0, 0, 1], PORT).into();
    match kind {
        Kind::Web => {
            serve(Where::Port(PORT), 0)?;
            let mut clients = workload::connect(to, WEB_CLIENTS.0, 200, true)?;
            // No IPv6 on this machine is no reason to show nothing.
            if let Ok(more) = workload::connect(
                (std::net::Ipv6Addr::LOCALHOST, PORT).into(),
                WEB_CLIENTS.1,
                200,
                true,
            ) {
                clients.extend(more);
            }
            let mut pace = Pace::new(20);
            for client in clients.iter().cycle() {
                pace.wait();
                exchange(client)?;
            }
            Ok(())
        }
        Kind::CloseWait => {
            serve(ipv4, LEAKS)?;
            workload::connect(to, LEAKS, 2, false)?;
            workload::Work::Pause.run()
        }
        Kind::Churn => {
            serve(ipv4, 0)?;
            workload::churn(to, CHURN)
        }
        Kind::Backlog => workload::full_accept_queue(&ipv4, BACKLOG),
        Kind::Udp => workload::datagrams(PORT, SENDERS),
    }
}

/// Listens, then serves on a thread of its own.
fn serve(at: Where, leaks: usize) -> Result<()> {
    let echo = workload::Echo::new(at.listen(128)?, leaks)?;
    std::thread::spawn(move || echo.run());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_command_names() -> Result<()> {
        for kind in KINDS {
            assert!(kind.name().len() <= 15, "{}", kind.name());
            assert_eq!(kind.name().parse::<Kind>()?, kind);
        }
        Ok(())
    }
}
