//! A real Prometheus server that scrapes one address, and the judge `promtool`.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::child::{Process, find_program};
use crate::metrics::Labels;
use crate::{http, wait};

/// How many ports are tried.
const ATTEMPTS: usize = 5;

/// How long it may take to be ready.
const START: Duration = Duration::from_secs(30);

/// A running Prometheus server on loopback. Dropping it stops it and removes its data.
#[derive(Debug)]
pub struct Prometheus {
    // The process ends before its folder goes.
    process: Process,
    folder: TempDir,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts a server that scrapes `target` every second, under the job name `monitor`.
    ///
    /// # Errors
    /// When the program is missing or the server does not come up; with its log.
    pub fn start(target: SocketAddr) -> Result<Self> {
        Self::start_with(target, "")
    }

    /// As [`start`](Self::start), with more lines for the job, such as `scheme: https`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(target: SocketAddr, job: &str) -> Result<Self> {
        let job: String = job.lines().map(|line| format!("  {line}\n")).collect();
        let config = format!(
            "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n\
             scrape_configs:\n- job_name: monitor\n{job}  static_configs:\n  - targets: ['{target}']\n"
        );
        Self::with_config(&config, &[])
    }

    /// Starts a server with this configuration. Beside its file are `links`, each a name and where
    /// it leads.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with_config(config: &str, links: &[(&str, &Path)]) -> Result<Self> {
        // It does not tell which port it got, so it is told one that was free just now.
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr();
        let addresses = std::iter::repeat_with(free).take(ATTEMPTS);
        Self::at_one_of(addresses, config, links)
    }

    /// At the first address that nobody else has by the time the server wants it.
    fn at_one_of(
        addresses: impl Iterator<Item = std::io::Result<SocketAddr>>,
        config: &str,
        links: &[(&str, &Path)],
    ) -> Result<Self> {
        for address in addresses {
            let mut server = Self::spawn(address?, config, links)?;
            let Err(error) = server.wait_ready() else {
                return Ok(server);
            };
            let log = std::fs::read_to_string(server.path("log")).unwrap_or_default();
            if !log.contains("address already in use") {
                return Err(error.context(format!("its log:\n{log}")));
            }
        }
        bail!("each port for prometheus was taken before it could have it");
    }

    fn spawn(address: SocketAddr, config: &str, links: &[(&str, &Path)]) -> Result<Self> {
        let program = find_program("prometheus").context("can't find the program prometheus")?;
        let folder = tempfile::Builder::new().prefix("cm-prom-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("prometheus.yml"), config)?;
        for (name, place) in links {
            std::os::unix::fs::symlink(place, path(name))?;
        }
        let log = File::create(path("log"))?;
        let flag = |name: &str, file: &str| format!("--{name}={}", path(file).display());
        let mut command = Command::new(program);
        command
            .arg(flag("config.file", "prometheus.yml"))
            .arg(flag("storage.tsdb.path", "data"))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(Self {
            process: Process::spawn(command)?,
            folder,
            address,
        })
    }

    fn wait_ready(&mut self) -> Result<()> {
        wait::until("prometheus is ready", START, || {
            ensure!(self.is_alive()?, "prometheus ended at once");
            let ready = http::get(self.address, "/-/ready").is_ok_and(|r| r.status == 200);
            Ok((ready && self.answers_itself()).then_some(()))
        })
    }

    /// Whether it is this server that answers, not another one that took its port.
    fn answers_itself(&self) -> bool {
        let data = self.path("data");
        self.api("/api/v1/status/flags")
            .is_ok_and(|flags| flags["storage.tsdb.path"].as_str().map(Path::new) == Some(&data))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the process can't be waited for.
    pub fn is_alive(&mut self) -> Result<bool> {
        self.process.is_alive()
    }

    /// The `data` of an answer of its API, such as that of `/api/v1/rules`.
    ///
    /// # Errors
    /// When it does not answer, or not with success.
    pub fn api(&self, path: &str) -> Result<Value> {
        let body = http::get(self.address, path)?.body;
        let mut answer: Value = serde_json::from_slice(&body)?;
        ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer["data"].take())
    }

    /// The value of an instant query that gives a vector: each series with its value.
    ///
    /// # Errors
    /// When the server does not answer, or not with a vector.
    pub fn query(&self, promql: &str) -> Result<Vec<(Labels, f64)>> {
        let data = self.api(&format!("/api/v1/query?query={}", encoded(promql)))?;
        let result = data["result"].as_array();
        let series = result.with_context(|| format!("{promql} is no vector: {data}"))?;
        series.iter().map(vector_element).collect()
    }

    /// Asks until the query gives something, at most for `limit`.
    ///
    /// # Errors
    /// When it does not, or the server does not answer.
    pub fn query_until(&self, promql: &str, limit: Duration) -> Result<Vec<(Labels, f64)>> {
        wait::until(promql, limit, || {
            let series = self.query(promql)?;
            Ok((!series.is_empty()).then_some(series))
        })
    }

    /// What the server says about its last scrape of the target: an empty string when it went well.
    ///
    /// # Errors
    /// When the server does not answer, or has not scraped yet.
    pub fn last_scrape_error(&self) -> Result<String> {
        let targets = self.api("/api/v1/targets")?;
        let error = &targets["activeTargets"][0]["lastError"];
        let error = error.as_str().context("no target yet")?;
        Ok(error.to_owned())
    }
}

/// Reads `{"metric": {…}, "value": [time, "1"]}`.
fn vector_element(element: &Value) -> Result<(Labels, f64)> {
    let labels = element["metric"].as_object().context("no labels")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let labels = labels.iter().map(|(k, v)| (k.clone(), text(v))).collect();
    let value = element["value"][1].as_str().context("no value")?;
    Ok((labels, value.parse()?))
}

/// A query as part of an address.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// Gives `text` to `promtool check metrics`.
///
/// # Errors
/// When promtool has anything to say, with its words.
pub fn promtool_check_metrics(text: &str) -> Result<()> {
    let program = find_program("promtool").context("can't find the program promtool")?;
    let mut child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    // It reads all before it writes, so this cannot block on its output.
    stdin.write_all(text.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() && said.is_empty() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said).into_owned();
    Err(anyhow!("promtool: {}: {said}", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;

    #[test]
    fn promtool_judges() -> Result<()> {
        crate::require!(require::program("promtool"));
        promtool_check_metrics("# HELP a_total An a.\n# TYPE a_total counter\na_total 1\n")?;
        assert!(promtool_check_metrics("# TYPE a counter\na 1\n").is_err());
        assert!(promtool_check_metrics("a{ 1\n").is_err());
        Ok(())
    }

    #[test]
    fn server_tells_a_target_that_is_down() -> Result<()> {
        crate::require!(require::program("prometheus"));
        let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let server = Prometheus::start(nobody)?;
        let up = server.query_until("up{job=\"monitor\"}", Duration::from_secs(10))?;
        assert_eq!(up.len(), 1);
        assert_eq!(up[0].1, 0.0);
        assert_eq!(up[0].0["instance"], nobody.to_string());
        assert!(server.last_scrape_error()?.contains("refused"));
        Ok(())
    }

    #[test]
    fn a_port_that_was_taken_meanwhile_is_none() -> Result<()> {
        crate::require!(require::program("prometheus"));
        let config = "global:\n  scrape_interval: 1s\n";
        let first = Prometheus::with_config(config, &[])?;
        // Another test may be given the port that is free now.
        let free = (0..3).map(|_| TcpListener::bind("127.0.0.1:0")?.local_addr());
        let addresses = std::iter::once(Ok(first.address)).chain(free);
        let second = Prometheus::at_one_of(addresses, config, &[])?;
        assert_ne!(second.address, first.address);
        assert!(Prometheus::at_one_of([Ok(first.address)].into_iter(), config, &[]).is_err());
        // What it says of anything else is told.
        let error = Prometheus::with_config("nonsense", &[]).unwrap_err();
        assert!(format!("{error:#}").contains("nonsense"), "{error:#}");
        Ok(())
    }
}
