//! Signals: exit code 0 within five seconds, whatever clients do.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use testkit::child::Process;
use testkit::{http, require, wait};

use crate::{QUICK, SOON, command, monitor};

/// The promise.
const LIMIT: Duration = Duration::from_secs(5);

#[test]
fn sigterm_ends_it_at_once() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&[])?;
    monitor.wait_ready()?;
    let took = monitor.stop()?;
    ensure!(took < Duration::from_secs(2), "it took {took:?}");
    Ok(())
}

/// And a quiet log has nothing to say about it.
#[test]
fn sigint_ends_it_at_once() -> Result<()> {
    testkit::require!(require::root());
    // It will not say where it listens, so it is told a port that was free just now.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut quiet = command(&QUICK[..3]);
    quiet.args(["--web.listen-address", &address.to_string()]);
    quiet.args(["--log.level", "warn"]);
    quiet.stderr(Stdio::piped());
    let mut process = Process::spawn(quiet)?;
    wait::until("it listens", SOON, || {
        let answers = http::get(address, "/readyz").is_ok_and(|answer| answer.status == 200);
        Ok(answers.then_some(()))
    })?;
    let pid = Pid::from_raw(i32::try_from(process.pid())?).context("no process id")?;
    let start = Instant::now();
    kill_process(pid, Signal::INT)?;
    let status = process.wait(LIMIT)?;
    ensure!(status.code() == Some(0), "{status}");
    ensure!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    let said = process.child().stderr.take().context("no stderr")?;
    let said = std::io::read_to_string(said)?;
    ensure!(said.is_empty(), "{said}");
    Ok(())
}

/// Clients that keep a connection: idle, in the middle of a request, or not reading its answer.
#[test]
fn slow_clients_do_not_hold_it() -> Result<()> {
    testkit::require!(require::root());
    for (request, what) in [
        ("", "says nothing"),
        ("GET /metrics HTTP/1.1\r\nHost: x\r\n", "is in its header"),
        (
            "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            "keeps the connection",
        ),
    ] {
        let monitor = monitor(&[])?;
        let mut client = TcpStream::connect(monitor.address())?;
        client.write_all(request.as_bytes())?;
        if request.ends_with("\r\n\r\n") {
            ensure!(client.read(&mut [0; 512])? > 0);
        }
        // It is accepted by now.
        ensure!(monitor.get("/healthz")?.status == 200);
        let took = monitor
            .stop()
            .with_context(|| format!("a client that {what}"))?;
        eprintln!("with a client that {what}: {took:?}");
        ensure!(took < LIMIT, "a client that {what}: {took:?}");
    }
    Ok(())
}

/// A scrape that is under way gets its answer.
#[test]
fn a_scrape_under_way_is_answered() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&[])?;
    let address = monitor.address();
    let mut client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(SOON))?;
    client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")?;
    ensure!(monitor.get("/healthz")?.status == 200);
    let pid = Pid::from_raw(i32::try_from(monitor.pid())?).context("no process id")?;
    kill_process(pid, Signal::TERM)?;
    wait::until("it drains", SOON, || {
        Ok(monitor
            .log()
            .iter()
            .any(|line| line.contains("draining"))
            .then_some(()))
    })?;
    std::thread::sleep(Duration::from_millis(100));
    ensure!(http::get(address, "/healthz").is_err(), "it still accepts");
    client.write_all(b"\r\n")?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    ensure!(answer.contains("container_monitor_build_info"), "cut off");
    Ok(())
}
