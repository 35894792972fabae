//! Clients: a known number of connections, held or closed, and a churn of them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use socket2::SockRef;

use super::bounded;

/// Keeps a rate: no tick comes earlier than its time, and none that was missed is made up for.
#[derive(Debug)]
pub struct Pace {
    step: Duration,
    next: Instant,
}

impl Pace {
    /// A pace of `rate` ticks a second.
    pub fn new(rate: u32) -> Self {
        Self {
            step: Duration::from_secs(1) / rate.max(1),
            next: Instant::now(),
        }
    }

    /// Waits for the next tick.
    pub fn wait(&mut self) {
        let now = Instant::now();
        std::thread::sleep(self.next.saturating_duration_since(now));
        self.next = self.next.max(now) + self.step;
    }
}

/// Sends one byte and waits for its echo: then the peer has accepted.
///
/// # Errors
/// When the peer closes, or says nothing for ten seconds.
pub fn exchange(mut stream: &TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b".")?;
    let mut byte = [0];
    stream.read_exact(&mut byte).context("no echo")?;
    Ok(())
}

/// Makes exactly `count` connections, at most `rate` a second, with a byte there and back on each.
/// Closes each at once, or gives them all when they are to be held.
///
/// # Errors
/// When one can't be made: the count would be wrong.
pub fn connect(to: SocketAddr, count: usize, rate: u32, hold: bool) -> Result<Vec<TcpStream>> {
    bounded(count, rate)?;
    let mut pace = Pace::new(rate);
    let mut held = Vec::new();
    for number in 1..=count {
        pace.wait();
        let stream = TcpStream::connect(to)
            .with_context(|| format!("connection {number} of {count} to {to}"))?;
        exchange(&stream).with_context(|| format!("connection {number} of {count} to {to}"))?;
        if hold {
            held.push(stream);
        }
    }
    Ok(held)
}

/// Makes exactly `count` connections to a listener of its own at `at`, each with a byte there and
/// back, closed by the client first, and the listener closed at the end: what one
/// [`Netns::enter`](crate::netns::Netns::enter) can do on its own.
///
/// # Errors
/// When the address is taken, or a connection can't be made.
pub fn connect_to_self(at: SocketAddr, count: usize) -> Result<()> {
    let listener = TcpListener::bind(at).with_context(|| format!("can't listen at {at}"))?;
    let serve = || -> Result<()> {
        for _ in 0..count {
            let (mut stream, _) = listener.accept()?;
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            stream.write_all(&byte)?;
            // The end of the peer's stream: the peer has closed first.
            ensure!(stream.read(&mut byte)? == 0, "more than one byte came");
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        // It starts in the network namespace of the calling thread.
        let server = scope.spawn(serve);
        let connected = connect(at, count, super::FASTEST, false);
        if connected.is_err() {
            // Else the server would wait for ever for those that did not come.
            SockRef::from(&listener).shutdown(Shutdown::Both).ok();
        }
        match server.join() {
            Ok(served) => connected.map(|_| ()).and(served),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Connects and closes `rate` times a second, for ever: the closing side keeps each in TIME_WAIT
/// for a minute. Connections that can't be made are tried again at the same rate.
///
/// # Errors
/// When the rate is too high.
pub fn churn(to: SocketAddr, rate: u32) -> Result<()> {
    bounded(0, rate)?;
    let mut pace = Pace::new(rate);
    loop {
        pace.wait();
        if let Ok(stream) = TcpStream::connect(to) {
            // The server may be busy or gone; the next one will tell.
            exchange(&stream).ok();
        }
    }
}
