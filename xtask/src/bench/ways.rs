//! Other ways to read every network namespace than asking the daemon.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The files that the daemon reads in each namespace.
pub(super) const COUNTERS: [&str; 5] = ["sockstat", "sockstat6", "snmp", "snmp6", "netstat"];
/// The files that cAdvisor reads, for each of which the kernel walks the whole machine's sockets.
pub(super) const SOCKET_TABLES: [&str; 4] = ["tcp", "tcp6", "udp", "udp6"];

/// Files below `/proc/<pid>/net`, to be read by a bare loop.
#[derive(Debug)]
pub(super) struct Files(Vec<String>);

impl Files {
    /// `names` of every process.
    pub(super) fn new(pids: &[u32], names: &[&str]) -> Self {
        let of = |pid: &u32| {
            let folder = format!("/proc/{pid}/net");
            names.iter().map(move |name| format!("{folder}/{name}"))
        };
        Self(pids.iter().flat_map(of).collect())
    }

    /// Opens, reads and closes each, and throws away what it says. Gives the number of bytes.
    ///
    /// # Errors
    /// When one cannot be read, or is empty.
    pub(super) fn read(&self) -> Result<usize> {
        let mut buffer = vec![0; 1 << 16];
        let mut sum = 0;
        for path in &self.0 {
            let size = read(path, &mut buffer).with_context(|| format!("cannot read {path}"))?;
            ensure!(size > 0, "{path} is empty");
            sum += size;
        }
        Ok(sum)
    }
}

fn read(path: &str, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut file = File::open(path)?;
    let mut sum = 0;
    loop {
        match file.read(buffer)? {
            0 => return Ok(sum),
            size => sum += size,
        }
    }
}

/// Runs `ss -s` in the network namespace of each process.
///
/// # Errors
/// When it cannot be started, or fails.
pub(super) fn ss(pids: &[u32]) -> Result<()> {
    for pid in pids {
        let status = Command::new("nsenter")
            .args(["-t", &pid.to_string(), "-n", "ss", "-s"])
            .stdout(Stdio::null())
            .status()
            .context("cannot start nsenter (Debian: util-linux)")?;
        ensure!(
            status.success(),
            "nsenter -t {pid} -n ss -s: {status} (Debian: iproute2 has ss)"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_file_to_its_end() -> Result<()> {
        let pid = std::process::id();
        let sizes = COUNTERS.map(|name| {
            std::fs::read(format!("/proc/{pid}/net/{name}")).map_or(0, |text| text.len())
        });
        let read = Files::new(&[pid], &COUNTERS).read()?;
        // Numbers may get longer between two reads.
        assert!(read.abs_diff(sizes.iter().sum()) < 100, "{read} {sizes:?}");
        assert!(Files::new(&[pid], &["none"]).read().is_err());
        Ok(())
    }
}
