//! The real monitor as a child process: its address, its log, its scrapes, its end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::child::Process;
use crate::http::{self, Response};
use crate::metrics::Metrics;
use crate::wait;

/// How long the monitor may take to say where it listens.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end: the promise of its command line.
const STOP: Duration = Duration::from_secs(5);

/// `exe`, a monitor, with `args`, and without the variables of the tests' own environment that
/// would change what it does.
pub fn command(exe: impl AsRef<Path>, args: &[&str]) -> Command {
    let mut command = Command::new(exe.as_ref());
    command.args(args);
    for (name, _) in std::env::vars_os() {
        if is_read(&name) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether a monitor reads this variable: its own, OpenTelemetry's, which would have it push, and
/// Docker's.
fn is_read(name: &OsStr) -> bool {
    let begins = |prefix: &[u8]| name.as_encoded_bytes().starts_with(prefix);
    begins(b"CONTAINER_MONITOR_") || begins(b"OTEL_") || name == "DOCKER_HOST"
}

/// A running `container-monitor`. Dropping it kills it by its process id.
#[derive(Debug)]
pub struct Monitor {
    process: Process,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Monitor {
    /// Starts `exe` with `args`, such as `["serve", "--discovery", "cgroup"]`, on a free port of
    /// 127.0.0.1 unless they name one, and waits until it says where it listens. The environment
    /// changes nothing: see [`command`].
    ///
    /// # Errors
    /// When it can't be started, or ends, or does not say; with its log.
    pub fn start(exe: impl AsRef<Path>, args: &[&str]) -> Result<Self> {
        let mut command = command(exe, args);
        if !args.contains(&"--web.listen-address") {
            command.args(["--web.listen-address", "127.0.0.1:0"]);
        }
        Self::spawn(command)
    }

    /// Starts `command`, a monitor with all its arguments, and waits until it says where it listens.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn spawn(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        let mut process = Process::spawn(command)?;
        let stderr = process.child().stderr.take().context("no stderr")?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&log);
        // Ends with the pipe, which ends with the monitor.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = without_colours(&line);
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        let found = wait::until("the monitor says where it listens", START, || {
            let address = lines(&log).iter().find_map(|line| listening(line));
            if address.is_none() && !process.is_alive()? {
                bail!("the monitor ended at once: {}", process.wait(STOP)?);
            }
            Ok(address)
        });
        // The log's last lines may come after the end of the process.
        let address = found.map_err(|error| {
            std::thread::sleep(Duration::from_millis(50));
            error.context(format!("its log:\n{}", lines(&log).join("\n")))
        })?;
        Ok(Self {
            process,
            address,
            log,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it has logged so far, line by line.
    pub fn log(&self) -> Vec<String> {
        lines(&self.log)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the process can't be waited for.
    pub fn is_alive(&mut self) -> Result<bool> {
        self.process.is_alive()
    }

    /// GETs a path.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn get(&self, path: &str) -> Result<Response> {
        http::get(self.address, path)
    }

    /// Waits until `/readyz` says yes: the first full discovery is done.
    ///
    /// # Errors
    /// When that takes more than a minute.
    pub fn wait_ready(&self) -> Result<()> {
        wait::until("the monitor is ready", START, || {
            Ok((self.get("/readyz")?.status == 200).then_some(()))
        })
    }

    /// One scrape.
    ///
    /// # Errors
    /// When it does not answer, or not in the text format.
    pub fn metrics(&self) -> Result<Metrics> {
        Metrics::parse(&self.get("/metrics")?.text()?)
    }

    /// Scrapes until `check` is content, at most for `limit`.
    ///
    /// # Errors
    /// When it is not by then: the last error of `check`.
    pub fn metrics_when(
        &self,
        limit: Duration,
        check: impl Fn(&Metrics) -> Result<()>,
    ) -> Result<Metrics> {
        let start = Instant::now();
        loop {
            let metrics = self.metrics()?;
            match check(&metrics) {
                Ok(()) => return Ok(metrics),
                Err(error) if start.elapsed() > limit => {
                    return Err(error.context(format!("still so after {limit:?}")));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Sends SIGTERM, and demands exit code 0 within five seconds. Gives the time it took.
    ///
    /// # Errors
    /// When it takes longer or ends otherwise; with its log.
    pub fn stop(mut self) -> Result<Duration> {
        let start = Instant::now();
        self.process.terminate()?;
        let status = self.process.wait(STOP)?;
        let log = lines(&self.log).join("\n");
        ensure!(status.success(), "the monitor ended with {status}\n{log}");
        Ok(start.elapsed())
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn rss_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path)?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib = line.and_then(|l| l.trim().strip_suffix(" kB"));
        Ok(kib.context("no VmRSS")?.parse::<u64>()? * 1024)
    }

    /// What its open file descriptors are, such as `/proc/7` or `net:[4026531840]`.
    ///
    /// # Errors
    /// When it has ended.
    pub fn fds(&self) -> Result<Vec<PathBuf>> {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.pid()))?;
        // One that was closed while the folder was read is none any more.
        let links = folder.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        Ok(links.collect())
    }

    /// How many file descriptors it has open.
    ///
    /// # Errors
    /// When it has ended.
    pub fn fd_count(&self) -> Result<usize> {
        Ok(self.fds()?.len())
    }
}

/// A copy of the log.
fn lines(log: &Mutex<Vec<String>>) -> Vec<String> {
    log.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The address in a line that says where the monitor listens, in either log format.
fn listening(line: &str) -> Option<SocketAddr> {
    line.find("listening")?;
    let words = line.split(|c: char| c.is_whitespace() || "\"=/,".contains(c));
    words.filter_map(|word| word.parse().ok()).next()
}

/// The line without terminal escape sequences.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut text = parts.next().unwrap_or("").to_owned();
    for part in parts {
        text.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_changes_nothing() {
        for (name, read) in [
            ("CONTAINER_MONITOR_LOG_LEVEL", true),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", true),
            ("DOCKER_HOST", true),
            ("PATH", false),
            ("MY_OTEL_", false),
        ] {
            assert_eq!(is_read(name.as_ref()), read, "{name}");
        }
    }

    #[test]
    fn finds_the_address() -> Result<()> {
        let address: SocketAddr = "127.0.0.1:4321".parse()?;
        for line in [
            "INFO listening on http://127.0.0.1:4321",
            "INFO listening address=127.0.0.1:4321",
            r#"{"message":"listening","address":"127.0.0.1:4321"}"#,
        ] {
            assert_eq!(listening(line), Some(address), "{line}");
        }
        assert_eq!(listening("scraped 127.0.0.1:4321"), None);
        assert_eq!(
            listening("listening on http://[::1]:80/"),
            "[::1]:80".parse().ok()
        );
        assert_eq!(without_colours("\u{1b}[32mINFO\u{1b}[0m x"), "INFO x");
        Ok(())
    }
}
