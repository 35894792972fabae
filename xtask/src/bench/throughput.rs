//! What being watched costs a busy server: its connections a second, with a scrape a second and
//! without, in turn. It keeps one CPU busy, so that on a machine with another one the scrape takes
//! nothing away but what it takes from the network path.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use socket2::SockRef;
use testkit::monitor::Monitor;
use testkit::netns::Netns;

use super::line;

/// Rounds of each kind.
const ROUNDS: usize = 7;
/// How long a round is.
const ROUND: Duration = Duration::from_secs(2);

/// Connections a second, a value a round.
#[derive(Debug, Default)]
pub(super) struct Served {
    alone: Vec<u64>,
    watched: Vec<u64>,
}

/// Connects as fast as it can, and scrapes the daemon once a second in every second round.
///
/// # Errors
/// When a connection or a scrape fails.
pub(super) fn measure(daemon: &Monitor, netns: &Netns) -> Result<Served> {
    let mut served = Served::default();
    for round in 0..ROUNDS {
        eprintln!("busy server, round {} of {ROUNDS}", round + 1);
        served.alone.push(connections(netns, || Ok(()))?);
        served
            .watched
            .push(connections(netns, || daemon.get("/metrics").map(|_| ()))?);
    }
    Ok(served)
}

/// Connections a second, while `once_a_second` is done.
fn connections(netns: &Netns, once_a_second: impl Fn() -> Result<()>) -> Result<u64> {
    let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
    let connect = || -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address: SocketAddr = listener.local_addr()?;
        while !stop.load(Ordering::Relaxed) {
            let client = TcpStream::connect(address)?;
            let (server, _) = listener.accept()?;
            // A reset leaves no TIME_WAIT, which would use up the ports.
            SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
            drop((client, server));
            made.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| netns.enter(connect));
        let start = Instant::now();
        let mut done = Ok(());
        while start.elapsed() < ROUND && done.is_ok() {
            done = once_a_second();
            let next = Duration::from_secs(start.elapsed().as_secs() + 1);
            std::thread::sleep(next.saturating_sub(start.elapsed()));
        }
        let elapsed = start.elapsed();
        stop.store(true, Ordering::Relaxed);
        let worked = worker.join();
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        done?;
        let made = made.load(Ordering::Relaxed);
        ensure!(made > 0, "no connection was made");
        Ok((made as f64 / elapsed.as_secs_f64()) as u64)
    })
}

impl Served {
    /// Lines of the table.
    pub(super) fn lines(&self) -> Vec<Vec<String>> {
        let median = |rounds: &[u64]| {
            let mut sorted = rounds.to_vec();
            sorted.sort_unstable();
            sorted.get(sorted.len() / 2).copied().unwrap_or_default()
        };
        let (alone, watched) = (median(&self.alone), median(&self.watched));
        vec![
            line("a busy server alone", &format!("{alone} connections/s")),
            line(
                "— with a scrape every second",
                &format!(
                    "{watched} connections/s ({:.1} %)",
                    100.0 * watched as f64 / alone as f64
                ),
            ),
        ]
    }
}
