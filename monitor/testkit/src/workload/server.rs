//! Servers: one that behaves, one that leaks, one without its main thread.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use socket2::{Domain, Socket, Type};

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// A port, over one socket for both families; over IPv4 where the kernel has no IPv6.
    Port(u16),
    /// One address, of one family.
    Address(SocketAddr),
}

impl FromStr for Where {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Self::Port)
            .or_else(|_| text.parse().map(Self::Address))
    }
}

impl Where {
    /// Listens there.
    ///
    /// # Errors
    /// When the address is taken, or not there.
    pub fn listen(&self, backlog: u32) -> Result<TcpListener> {
        let listen = |address: SocketAddr| -> std::io::Result<TcpListener> {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            if address.is_ipv6() {
                socket.set_only_v6(matches!(self, Self::Address(_)))?;
            }
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
            Ok(socket.into())
        };
        match *self {
            Self::Address(address) => listen(address),
            Self::Port(port) => listen((Ipv6Addr::UNSPECIFIED, port).into())
                .or_else(|_| listen((Ipv4Addr::UNSPECIFIED, port).into())),
        }
        .with_context(|| format!("can't listen at {self:?}"))
    }
}

/// Accepts and echoes for ever; closes a connection after its peer did.
///
/// # Errors
/// When the address is taken.
pub fn serve(at: &Where, backlog: u32) -> Result<()> {
    Echo::new(at.listen(backlog)?, 0)?.run()
}

/// Accepts and echoes for ever, but keeps the first `leaks` connections open that their peers
/// close: they stay in CLOSE_WAIT.
///
/// # Errors
/// When the address is taken.
pub fn leak_close_wait(at: &Where, leaks: usize) -> Result<()> {
    super::bounded(leaks, 1)?;
    Echo::new(at.listen(128)?, leaks)?.run()
}

/// Serves on a second thread and ends the main one; a sleeping child keeps a process of the same
/// container readable.
///
/// # Errors
/// When the address is taken or the child can't be started.
pub fn leave_leader(at: Where) -> Result<()> {
    let echo = Echo::new(at.listen(128)?, 0)?;
    // It outlives this thread, and ends when it sees its parent gone.
    Command::new("/proc/self/exe").arg("pause").spawn()?;
    std::thread::spawn(move || echo.run());
    crate::sys::exit_thread()
}

/// Opens and closes a listener in the network namespace of each process.
///
/// # Errors
/// When a namespace can't be entered.
pub fn listen_in(pids: &[u32]) -> Result<()> {
    for pid in pids {
        crate::netns::enter(*pid, || Ok(TcpListener::bind("127.0.0.1:0")?))?;
    }
    Ok(())
}

/// An echo server on one thread.
pub(crate) struct Echo {
    epoll: OwnedFd,
    listener: TcpListener,
    open: HashMap<u64, TcpStream>,
    leaked: Vec<TcpStream>,
    leaks: usize,
    next: u64,
}

/// The event data of the listener; connections count from 1.
const LISTENER: u64 = 0;

impl Echo {
    /// Serves `listener`; keeps the first `leaks` connections that their peers close.
    pub(crate) fn new(listener: TcpListener, leaks: usize) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, data, epoll::EventFlags::IN)?;
        Ok(Self {
            epoll,
            listener,
            open: HashMap::new(),
            leaked: Vec::new(),
            leaks,
            next: LISTENER + 1,
        })
    }

    /// Serves for ever.
    pub(crate) fn run(mut self) -> Result<()> {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    connection => self.answer(connection)?,
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // A connection that was reset while it waited is no reason to stop.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error).context("can't accept"),
            };
            stream.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(self.next);
            epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
            self.open.insert(self.next, stream);
            self.next += 1;
        }
    }

    fn answer(&mut self, connection: u64) -> Result<()> {
        let Some(stream) = self.open.get_mut(&connection) else {
            return Ok(());
        };
        let mut bytes = [0; 512];
        match stream.read(&mut bytes) {
            // What a peer does not read is lost: its own fault, and never so with our clients.
            Ok(length) if length > 0 => stream.write_all(&bytes[..length]).or(Ok(())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            // The peer has closed, or reset.
            ended => {
                if let Some(stream) = self.open.remove(&connection)
                    && ended.is_ok()
                    && self.leaked.len() < self.leaks
                {
                    epoll::delete(&self.epoll, &stream)?;
                    self.leaked.push(stream);
                }
                Ok(())
            }
        }
    }
}
