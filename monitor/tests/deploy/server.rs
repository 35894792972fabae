//! A real Prometheus with the rules of `deploy/`, as deployed, but scraping and evaluating every
//! second.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use testkit::child::{Process, find_program};
use testkit::{http, wait};

use crate::{deploy, text};

/// How long the server may take for anything.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Server {
    // The process ends before its folder goes.
    process: Process,
    _folder: TempDir,
    address: SocketAddr,
}

impl Server {
    /// Starts one with the configuration of the compose project, for which `target` stands in the
    /// place of its exporter.
    pub(crate) fn start(target: SocketAddr) -> Result<Self> {
        let shipped = text("compose/prometheus.yml")?;
        let config = shipped
            .replace("15s", "1s")
            .replace("container-monitor:10042", &target.to_string());
        ensure!(config.contains(&target.to_string()) && config != shipped);
        Self::with_config(&config)
    }

    /// Starts one with this configuration.
    pub(crate) fn with_config(config: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("cm-deploy-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("prometheus.yml"), config)?;
        std::os::unix::fs::symlink(deploy("prometheus/rules").canonicalize()?, path("rules"))?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = File::create(path("log"))?;
        let program = find_program("prometheus").context("can't find the program prometheus")?;
        let mut command = Command::new(program);
        command
            .arg(format!(
                "--config.file={}",
                path("prometheus.yml").display()
            ))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut process = Process::spawn(command)?;
        let ready = wait::until("prometheus is ready", LIMIT, || {
            ensure!(process.is_alive()?, "prometheus ended at once");
            let ready = http::get(address, "/-/ready").is_ok_and(|r| r.status == 200);
            Ok(ready.then_some(()))
        });
        ready.with_context(|| std::fs::read_to_string(path("log")).unwrap_or_default())?;
        Ok(Self {
            process,
            _folder: folder,
            address,
        })
    }

    pub(crate) fn is_alive(&mut self) -> Result<bool> {
        self.process.is_alive()
    }

    /// The `data` of an answer of the API.
    pub(crate) fn api(&self, path: &str) -> Result<Value> {
        let body = http::get(self.address, path)?.body;
        let mut answer: Value = serde_json::from_slice(&body)?;
        ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer["data"].take())
    }

    /// The series of a query.
    pub(crate) fn query(&self, promql: &str) -> Result<Vec<Value>> {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        };
        let query: String = promql.bytes().map(byte).collect();
        let mut data = self.api(&format!("/api/v1/query?query={query}"))?;
        match data["result"].take() {
            Value::Array(series) => Ok(series),
            other => Err(anyhow::anyhow!("{promql} gives no series: {other}")),
        }
    }
}
