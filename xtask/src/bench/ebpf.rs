//! What one run of the daemon's eBPF program costs, by the kernel's own count.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::netns::Netns;
use testkit::wait;

/// Switches the kernel's counting of program runs on.
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";
/// Connections made; few enough for the ephemeral ports, which TIME_WAIT keeps.
const CONNECTIONS: u64 = 5_000;
/// State changes of a connection that both ends close: five at each end.
const EVENTS_EACH: u64 = 10;

/// What was counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Runs of the program.
    pub(super) events: u64,
    /// Mean time of a run, the two clock reads of the counting included.
    pub(super) nanoseconds: f64,
}

/// Makes connections inside `netns` and reads how long the programs of the process `pid` took.
///
/// # Errors
/// When the process has no program, or the kernel does not count.
pub(super) fn cost_of_an_event(pid: u32, netns: &Netns) -> Result<Cost> {
    let _on = Statistics::on()?;
    let before = Runs::of(pid)?;
    netns.enter(connections)?;
    // The last states change when the last segment has come.
    let expected = before.count + CONNECTIONS * EVENTS_EACH * 99 / 100;
    let after = wait::until("the events are counted", Duration::from_secs(5), || {
        let runs = Runs::of(pid)?;
        Ok((runs.count >= expected).then_some(runs))
    })?;
    let events = after.count - before.count;
    Ok(Cost {
        events,
        nanoseconds: (after.nanoseconds - before.nanoseconds) as f64 / events as f64,
    })
}

/// Connects over loopback and closes, one connection after the other.
fn connections() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    for _ in 0..CONNECTIONS {
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        drop(client);
        drop(server);
    }
    Ok(())
}

/// The kernel's counting, switched on until this is dropped.
#[derive(Debug)]
struct Statistics {
    before: String,
}

impl Statistics {
    fn on() -> Result<Self> {
        let before = std::fs::read_to_string(STATISTICS)
            .with_context(|| format!("cannot read {STATISTICS}"))?;
        std::fs::write(STATISTICS, "1").with_context(|| format!("cannot write {STATISTICS}"))?;
        Ok(Self { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(STATISTICS, &self.before) {
            eprintln!("warning: {STATISTICS} stays switched on: {error}");
        }
    }
}

/// Runs of all programs that a process has open.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Runs {
    count: u64,
    nanoseconds: u64,
}

impl Runs {
    fn of(pid: u32) -> Result<Self> {
        let folder = format!("/proc/{pid}/fdinfo");
        let mut sum = Self::default();
        let mut programs = 0;
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))? {
            // One that was closed meanwhile is no program.
            let text = entry.map(|entry| read(&entry.path())).unwrap_or_default();
            if let Some(runs) = Self::parse(&text) {
                programs += 1;
                sum.count += runs.count;
                sum.nanoseconds += runs.nanoseconds;
            }
        }
        ensure!(programs > 0, "the daemon has no eBPF program (see its log)");
        Ok(sum)
    }

    /// Reads what `bpf_prog_show_fdinfo` of the kernel writes (`kernel/bpf/syscall.c`).
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            let (_, value) = lines.find(|(name, _)| *name == key)?;
            value.trim().parse().ok()
        };
        Some(Self {
            count: value("run_cnt")?,
            nanoseconds: value("run_time_ns")?,
        })
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_from_fdinfo() {
        let text = "pos:\t0\nflags:\t02000002\nprog_type:\t26\nrun_time_ns:\t1234\nrun_cnt:\t10\n";
        let runs = Runs {
            count: 10,
            nanoseconds: 1234,
        };
        assert_eq!(Runs::parse(text), Some(runs));
        assert_eq!(Runs::parse("pos:\t0\nmap_type:\t1\n"), None);
    }
}
