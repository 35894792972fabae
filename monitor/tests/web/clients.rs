//! Clients that mean no good, or do no good: slow, many, large, and all at once.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::monitor::Monitor;
use testkit::prometheus::Prometheus;
use testkit::{http, require, wait};

use crate::monitor;
use crate::pki::{Pki, TLS};

/// A daemon's memory may grow by this for a flood of 2,000 connections.
const MEMORY: u64 = 64 << 20;

/// Whether the other end has closed or reset a connection.
fn is_closed(stream: &TcpStream) -> Result<bool> {
    stream.set_nonblocking(true)?;
    let mut byte = [0; 4096];
    let read = (&mut &*stream).read(&mut byte);
    stream.set_nonblocking(false)?;
    Ok(match read {
        Ok(length) => length == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    })
}

/// Slow clients of several kinds: silent, half a header, an answer that is not read, and ones that
/// come back when they are thrown out.
fn flood(address: SocketAddr, number: usize) -> Result<Vec<TcpStream>> {
    (0..number)
        .map(|at| {
            let mut stream = TcpStream::connect(address)?;
            let sent = match at % 4 {
                0 => Ok(()),
                1 => stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: "),
                2 => stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
                _ => stream.write_all(&[b'x'; 100]),
            };
            // Others may have taken its place already.
            drop(sent);
            Ok(stream)
        })
        .collect()
}

/// Goes on with a flood until it is told to stop: whoever was thrown out comes again.
fn keep_up(address: SocketAddr, mut clients: Vec<TcpStream>, until: Instant) -> Result<usize> {
    let mut came_again = 0;
    while Instant::now() < until {
        for client in &mut clients {
            if is_closed(client)? {
                *client = TcpStream::connect(address)?;
                came_again += 1;
            } else {
                // A byte of a header that never ends.
                client.write_all(b"y").ok();
            }
            // Not so fast that the test's own CPU time is what is measured.
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    Ok(came_again)
}

fn is_scraped_without_failure(monitor: &Monitor, prometheus: &Prometheus) -> Result<()> {
    let limit = Duration::from_secs(15);
    prometheus.query_until("up{job=\"monitor\"} == 1", limit)?;
    let address = monitor.address();
    let before = monitor.rss_bytes()?;
    let clients = flood(address, 2000)?;
    let until = Instant::now() + Duration::from_secs(12);
    let flood = std::thread::spawn(move || keep_up(address, clients, until));
    let mut most = 0;
    let mut descriptors = 0;
    while !flood.is_finished() {
        most = most.max(monitor.rss_bytes()?);
        descriptors = descriptors.max(monitor.fd_count()?);
        std::thread::sleep(Duration::from_millis(100));
    }
    let came_again = flood.join().map_err(|_| anyhow::anyhow!("panicked"))??;
    let up = prometheus.query("min_over_time(up{job=\"monitor\"}[10s])")?;
    let count = prometheus.query("count_over_time(up{job=\"monitor\"}[10s])")?;
    eprintln!(
        "{came_again} came again; at most {} kB more, {descriptors} descriptors; {} scrapes",
        most.saturating_sub(before) / 1024,
        count[0].1
    );
    let error = prometheus.last_scrape_error()?;
    ensure!(up[0].1 == 1.0, "a scrape failed: {error}");
    ensure!(count[0].1 >= 8.0, "{count:?}");
    ensure!(most < before + MEMORY, "{before} to {most} bytes");
    // 512 connections and what is open anyway.
    ensure!(descriptors < 700, "{descriptors} descriptors");
    Ok(())
}

#[test]
fn a_flood_of_slow_clients_fails_no_scrape() -> Result<()> {
    testkit::require!(require::root(), require::program("prometheus"));
    let monitor = monitor(&[])?;
    let prometheus = Prometheus::start(monitor.address())?;
    is_scraped_without_failure(&monitor, &prometheus)?;
    drop(prometheus);
    monitor.stop()?;
    Ok(())
}

#[test]
fn nor_does_one_over_tls() -> Result<()> {
    testkit::require!(require::root(), require::program("prometheus"));
    let pki = Pki::new()?;
    let file = pki.web(TLS)?;
    let monitor = monitor(&["--web.config.file", &file])?;
    let job = format!(
        "scheme: https\ntls_config: {{ca_file: {}}}",
        pki.path("ca.crt").display()
    );
    let prometheus = Prometheus::start_with(monitor.address(), &job)?;
    is_scraped_without_failure(&monitor, &prometheus)?;
    drop(prometheus);
    monitor.stop()?;
    Ok(())
}

#[test]
fn more_than_may_be_open_are_not() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&["--web.max-connections=4"])?;
    let address = monitor.address();
    // One that has had an answer stays, whoever comes and says nothing.
    let mut honest = TcpStream::connect(address)?;
    honest.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut ask = || -> Result<()> {
        honest.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\n") {
            let mut byte = [0];
            honest.read_exact(&mut byte)?;
            answer.extend(byte);
        }
        Ok(())
    };
    ask()?;
    let silent = (0..20)
        .map(|_| Ok(TcpStream::connect(address)?))
        .collect::<Result<Vec<_>>>()?;
    wait::until("all but three are closed", Duration::from_secs(5), || {
        let mut open = 0;
        for stream in &silent {
            open += usize::from(!is_closed(stream)?);
        }
        Ok((open == 3).then_some(()))
    })?;
    ask()?;
    ensure!(http::get(address, "/healthz")?.status == 200);
    monitor.stop()?;
    Ok(())
}

#[test]
fn a_client_that_says_nothing_is_let_go_of() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&[])?;
    let start = Instant::now();
    let mut clients = flood(monitor.address(), 2)?;
    for client in &mut clients {
        client.set_read_timeout(Some(Duration::from_secs(20)))?;
        ensure!(matches!(client.read(&mut [0; 16]), Ok(0)), "an answer");
    }
    ensure!(start.elapsed() > Duration::from_secs(9), "at once");
    monitor.stop()?;
    Ok(())
}

#[test]
fn headers_have_an_end() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&[])?;
    let large = "x".repeat(20_000);
    let many: String = (0..200).map(|at| format!("X-{at}: y\r\n")).collect();
    for head in [
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX-Large: {large}\r\n\r\n"),
        format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
    ] {
        let answer = exchange(monitor.address(), head.as_bytes())?;
        ensure!(answer.starts_with("HTTP/1.1 431 "), "{answer:.60}");
    }
    let long = format!("GET /{large} HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = exchange(monitor.address(), long.as_bytes())?;
    ensure!(
        answer.starts_with("HTTP/1.1 414 ") || answer.starts_with("HTTP/1.1 431 "),
        "{answer:.60}"
    );
    // A header that never ends is given up long before memory is.
    let mut endless = TcpStream::connect(monitor.address())?;
    endless.write_all(b"GET / HTTP/1.1\r\nX: ")?;
    let before = monitor.rss_bytes()?;
    let written = (0..4096).try_for_each(|_| endless.write_all(&[b'y'; 4096]));
    ensure!(written.is_err(), "16 MiB were taken");
    ensure!(monitor.rss_bytes()? < before + (8 << 20));
    for nonsense in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = exchange(monitor.address(), nonsense)?;
        // What begins HTTP/2 is hung up on.
        let is_http2 = nonsense.starts_with(b"PRI") && answer.is_empty();
        ensure!(
            is_http2 || answer.starts_with("HTTP/1.1 400 "),
            "{nonsense:?}: {answer:.60}"
        );
    }
    ensure!(monitor.get("/healthz")?.status == 200);
    monitor.stop()?;
    Ok(())
}

/// Sends, and reads what comes until the end, or until it is reset.
fn exchange(address: SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        ensure!(error.kind() == ErrorKind::ConnectionReset, "{error}");
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn pipelined_requests_are_answered_in_their_order() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&[])?;
    monitor.wait_ready()?;
    let mut stream = TcpStream::connect(monitor.address())?;
    let requests: String = ["/healthz", "/metrics", "/nothing", "/readyz", "/metrics"]
        .map(|path| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .concat();
    let last = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(requests.repeat(40).as_bytes())?;
    stream.write_all(last.as_bytes())?;
    let mut answers = String::new();
    stream.read_to_string(&mut answers)?;
    let statuses: Vec<&str> = answers
        .match_indices("HTTP/1.1 ")
        .filter_map(|(at, start)| answers.get(at + start.len()..at + start.len() + 3))
        .collect();
    let expected = ["200", "200", "404", "200", "200"].repeat(40);
    ensure!(statuses[..statuses.len() - 1] == expected, "{statuses:?}");
    ensure!(answers.ends_with("</html>\n"));
    monitor.stop()?;
    Ok(())
}

/// Who is in the middle of an answer gets all of it though the monitor is told to stop.
#[test]
fn the_end_waits_for_answers_and_not_long_for_the_silent() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&[])?;
    monitor.wait_ready()?;
    let silent = flood(monitor.address(), 100)?;
    let mut asked = TcpStream::connect(monitor.address())?;
    asked.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut first = [0; 9];
    asked.read_exact(&mut first)?;
    let took = monitor.stop()?;
    // Not much longer than it may take.
    ensure!(took < Duration::from_secs(5), "{took:?}");
    let mut answer = String::new();
    asked.read_to_string(&mut answer)?;
    let body = answer
        .split_once("\r\n\r\n")
        .context("no end of its header")?
        .1;
    ensure!(body.ends_with('\n') && body.contains("container_monitor_build_info"));
    drop(silent);
    Ok(())
}
