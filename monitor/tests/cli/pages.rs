//! The pages, readiness, and scrapes that come together.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::monitor::Monitor;
use testkit::netns::Netns;
use testkit::{require, wait};

use crate::{SOON, command, monitor};

#[test]
fn every_page() -> Result<()> {
    testkit::require!(require::root());
    let monitor = monitor(&["--web.telemetry-path", "/own/path"])?;
    monitor.wait_ready()?;
    let page = |path| monitor.get(path);
    ensure!(page("/healthz")?.status == 200 && page("/readyz")?.status == 200);
    let index = page("/")?;
    ensure!(
        index
            .header("content-type")
            .unwrap_or("")
            .starts_with("text/html")
    );
    let index = index.text()?;
    for link in ["/own/path", "/healthz", "/readyz"] {
        ensure!(
            index.contains(&format!("href=\"{link}\"")),
            "no {link}: {index}"
        );
        ensure!(page(link)?.status == 200, "{link}");
    }
    let metrics = page("/own/path")?;
    let format = "text/plain; version=0.0.4; charset=utf-8";
    ensure!(
        metrics.header("content-type") == Some(format),
        "{:?}",
        metrics.headers
    );
    for path in ["/metrics", "/nothing", "/own/path/", "/own"] {
        ensure!(page(path)?.status == 404, "{path}");
    }
    let mut post = TcpStream::connect(monitor.address())?;
    post.write_all(
        b"POST /own/path HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    )?;
    let answer = std::io::read_to_string(post)?;
    ensure!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    Ok(())
}

/// A runtime that takes the connection and says nothing must hold up readiness for a while, and
/// nothing else.
#[test]
fn ready_after_the_first_attempt_of_a_silent_runtime() -> Result<()> {
    testkit::require!(require::root());
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("silent.sock");
    let listener = UnixListener::bind(&socket)?;
    let held = std::thread::spawn(move || {
        let mut held = Vec::new();
        // Ends with the first connection that says so.
        for stream in listener.incoming().map_while(Result::ok) {
            let mut first = [0; 1];
            if std::io::Read::read(&mut (&stream), &mut first)
                .is_ok_and(|n| n == 1 && first == *b"q")
            {
                break;
            }
            held.push(stream);
        }
    });
    let endpoint = format!("unix://{}", socket.display());
    let args = [
        "serve",
        "--discovery=docker",
        "--docker.endpoint",
        &endpoint,
        "--no-collector.transitions",
        "--web.listen-address=127.0.0.1:0",
    ];
    let monitor = Monitor::spawn(command(&args))?;
    let early = monitor.get("/readyz")?;
    ensure!(early.status == 503, "ready at once: {:?}", monitor.log());
    ensure!(monitor.get("/healthz")?.status == 200);
    let up = [("runtime", "docker")];
    let metrics = monitor.metrics()?;
    ensure!(metrics.value("container_monitor_discovery_up", &up)? == 0.0);
    wait::until("the first attempt has failed", 3 * SOON, || {
        Ok((monitor.get("/readyz")?.status == 200).then_some(()))
    })?;
    ensure!(
        monitor
            .metrics()?
            .value("container_monitor_discovery_up", &up)?
            == 0.0
    );
    let said = |line: &&String| line.contains(" WARN ") || line.contains(" ERROR ");
    let log = monitor.log();
    let said: Vec<_> = log.iter().filter(said).collect();
    ensure!(said.len() == 1 && said[0].contains(&endpoint), "{log:#?}");
    monitor.stop()?;
    std::os::unix::net::UnixStream::connect(&socket)?.write_all(b"q")?;
    ensure!(held.join().is_ok());
    Ok(())
}

#[test]
fn scrapes_that_come_together_share_a_collection() -> Result<()> {
    const SCRAPES: usize = 50;
    testkit::require!(require::root());
    // Some work, so that scrapes do meet.
    let namespaces = (0..40)
        .map(|_| Netns::new("cli-flight"))
        .collect::<Result<Vec<_>>>()?;
    let monitor = monitor(&[])?;
    let count = |text: String| -> Result<f64> {
        let metrics = testkit::metrics::Metrics::parse(&text)?;
        for netns in &namespaces {
            metrics.container_in(netns.inode())?;
        }
        metrics.value("container_monitor_collections_total", &[])
    };
    let before = count(monitor.get("/metrics")?.text()?)?;
    let answers = std::thread::scope(|scope| {
        let scrape = || monitor.get("/metrics")?.text();
        let scrapes: Vec<_> = (0..SCRAPES).map(|_| scope.spawn(scrape)).collect();
        let join = |scrape: std::thread::ScopedJoinHandle<'_, _>| scrape.join().ok();
        scrapes.into_iter().map(join).collect::<Vec<_>>()
    });
    ensure!(answers.len() == SCRAPES);
    for answer in answers {
        // Each is whole, and none is older than its request.
        let seen = count(answer.context("a scrape panicked")??)?;
        ensure!(seen > before, "collection {seen} after {before}");
    }
    let made = count(monitor.get("/metrics")?.text()?)? - before - 1.0;
    eprintln!("{SCRAPES} scrapes at once took {made} collections");
    ensure!(made < SCRAPES as f64 / 2.0, "{made} collections");
    // A scrape that comes alone gets a collection of its own.
    let alone = count(monitor.get("/metrics")?.text()?)?;
    std::thread::sleep(Duration::from_millis(20));
    ensure!(count(monitor.get("/metrics")?.text()?)? == alone + 1.0);
    Ok(())
}
