//! Containers without a runtime: a process in a network namespace and a cgroup of its own, named
//! as Docker names them.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use testkit::cgroup::Cgroup;
use testkit::child::{self, Process};
use testkit::netns::Netns;

use super::daemon::SOON;

/// The argument that makes this program hold connections.
pub(crate) const HOLD: &str = "hold";

/// The argument that makes this program make connections.
pub(crate) const CONNECT: &str = "connect";

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    // Ends before its cgroup, which must be empty by then.
    pub(crate) netns: Netns,
    pub(crate) cgroup: Cgroup,
}

impl Container {
    /// A container with a network namespace of its own, in a cgroup of its own.
    pub(crate) fn new() -> Result<Self> {
        Self::in_cgroup(Cgroup::docker()?)
    }

    /// The same, in this cgroup.
    pub(crate) fn in_cgroup(cgroup: Cgroup) -> Result<Self> {
        let mut command = Command::new(PROGRAM);
        command.arg(crate::SLEEP);
        cgroup.put(&mut command)?;
        let netns = Netns::with_holder(command)?;
        Ok(Self { netns, cgroup })
    }

    /// The name that the daemon gives it.
    pub(crate) fn name(&self) -> &str {
        self.cgroup.short_id()
    }

    /// Makes so many connections over loopback, both ends, one after the other.
    pub(crate) fn connect(&self, count: usize) -> Result<()> {
        self.run(&[CONNECT, &count.to_string()]).map(drop)
    }

    /// Runs this program in the container to its end, and gives what it said.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        let command = command_in(Some(&self.netns), &self.cgroup, arguments)?;
        child::output_within(command, SOON)
    }
}

/// This program.
const PROGRAM: &str = "/proc/self/exe";

/// This program with arguments, to be run in a namespace, the host's where there is none, and a
/// cgroup.
pub(crate) fn command_in(
    netns: Option<&Netns>,
    cgroup: &Cgroup,
    arguments: &[&str],
) -> Result<Command> {
    let mut command = match netns {
        Some(netns) => netns.command(PROGRAM)?,
        None => Command::new(PROGRAM),
    };
    command.args(arguments);
    cgroup.put(&mut command)?;
    Ok(command)
}

/// A process that holds `count` connections over loopback, both ends, and their listener.
pub(crate) fn holding(netns: Option<&Netns>, cgroup: &Cgroup, count: usize) -> Result<Process> {
    let mut command = command_in(netns, cgroup, &[HOLD, &count.to_string()])?;
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = Process::spawn(command)?;
    let stdout = process.child().stdout.take().context("no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    ensure!(
        !line.is_empty(),
        "it did not get to hold {count} connections"
    );
    Ok(process)
}

/// Holds connections for ever, in the process that this program was started as for that.
pub(crate) fn hold(count: usize) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut held = Vec::new();
    for _ in 0..count {
        let client = TcpStream::connect(listener.local_addr()?)?;
        held.push((client, listener.accept()?.0));
    }
    println!("ready");
    std::io::stdout().flush()?;
    loop {
        std::thread::park();
    }
}
