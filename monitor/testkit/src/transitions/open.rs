//! Connections that are made in every way, and closed.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::loopback::{CLOSE, Loopback, address_of, hear_end, in_turn, reach};
use crate::require::{self, Need};

/// 2 makes every connection one by cookies. It is the namespace's own.
const COOKIES: &str = "/proc/sys/net/ipv4/tcp_syncookies";

/// Each closed by a `close`, so that no process has the sockets any more that say good-bye.
pub(super) fn connections(on: Loopback, count: u64) -> Result<()> {
    let server = on.serve()?;
    for round in 0..count {
        let (first, second) = in_turn(round, server.pair()?);
        drop(first);
        hear_end(&second)?;
    }
    Ok(())
}

pub(super) fn cookies_are_there(_: Loopback) -> Need {
    require::path(COOKIES)
}

pub(super) fn by_cookies(on: Loopback, count: u64) -> Result<()> {
    let (sent, received) = (counter("SyncookiesSent")?, counter("SyncookiesRecv")?);
    let before = Setting::set(Path::new(COOKIES), "2")?;
    connections(on, count)?;
    drop(before);
    let sent = counter("SyncookiesSent")? - sent;
    let received = counter("SyncookiesRecv")? - received;
    ensure!(
        (sent, received) == (count, count),
        "{sent} cookies were sent and {received} came back, expected {count}"
    );
    Ok(())
}

/// A file whose content is put back in the end.
struct Setting<'a>(&'a Path, String);

impl<'a> Setting<'a> {
    fn set(path: &'a Path, value: &str) -> Result<Self> {
        let before = std::fs::read_to_string(path);
        let before = before.with_context(|| format!("can't read {path:?}"))?;
        std::fs::write(path, value).with_context(|| format!("can't write {path:?}"))?;
        Ok(Self(path, before))
    }
}

impl Drop for Setting<'_> {
    fn drop(&mut self) {
        // What could be written before can be written again.
        std::fs::write(self.0, &self.1).ok();
    }
}

/// A counter of `TcpExt` of this thread's namespace.
fn counter(name: &str) -> Result<u64> {
    let table = std::fs::read_to_string("/proc/thread-self/net/netstat")?;
    let mut lines = table.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next(), lines.next());
    let mut pairs = names.into_iter().flat_map(str::split_whitespace);
    let at = pairs.position(|column| column == name);
    let mut values = values.into_iter().flat_map(str::split_whitespace);
    let value = at.and_then(|at| values.nth(at));
    let value = value.with_context(|| format!("no counter {name}"))?;
    Ok(value.parse()?)
}

/// One socket is both ends: its SYN meets its own, and its FIN too.
pub(super) fn to_itself(on: Loopback, count: u64) -> Result<()> {
    for _ in 0..count {
        let socket = on.bound()?;
        socket.connect(&address_of(&socket)?.into())?;
        socket.shutdown(std::net::Shutdown::Write)?;
        reach(&socket, CLOSE)?;
    }
    Ok(())
}
