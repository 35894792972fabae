//! What happens to sockets, and the transitions that it makes: the kernel's own, seen on the
//! machine.
//!
//! A closed descriptor may live on for a moment in a child that another test's thread has forked.
//! So whatever is to follow a close waits for what the peer sees of it.

use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use socket2::{Domain, SockRef, Socket, Type};
use testkit::workload;

use crate::Pair;

/// How often a case happens.
const COUNT: u64 = 200;

/// Something done in a namespace of its own.
pub(crate) struct Case {
    /// What it is.
    pub(crate) name: &'static str,
    /// Does it.
    pub(crate) act: fn() -> Result<()>,
    /// All transitions that follow.
    pub(crate) expected: &'static [(Pair, u64)],
}

const LISTENS: (Pair, u64) = (("close", "listen"), 1);
const LISTENS_NO_MORE: (Pair, u64) = (("listen", "close"), 1);
/// A connection that is made, at both ends.
const OPENS: [(Pair, u64); 4] = [
    (("close", "syn_sent"), COUNT),
    (("syn_sent", "established"), COUNT),
    (("listen", "syn_recv"), COUNT),
    (("syn_recv", "established"), COUNT),
];
/// The end that closes first, and the other one.
const CLOSES: [(Pair, u64); 6] = [
    (("established", "fin_wait1"), COUNT),
    (("fin_wait1", "fin_wait2"), COUNT),
    (("fin_wait2", "close"), COUNT),
    (("established", "close_wait"), COUNT),
    (("close_wait", "last_ack"), COUNT),
    (("last_ack", "close"), COUNT),
];

/// All cases.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "connections",
        act: || workload::connect_to_self("127.0.0.1:80".parse()?, COUNT as usize),
        expected: &[
            LISTENS,
            OPENS[0],
            OPENS[1],
            OPENS[2],
            OPENS[3],
            CLOSES[0],
            CLOSES[1],
            CLOSES[2],
            CLOSES[3],
            CLOSES[4],
            CLOSES[5],
            LISTENS_NO_MORE,
        ],
    },
    Case {
        name: "refused",
        act: refused,
        expected: &[
            (("close", "syn_sent"), COUNT),
            (("syn_sent", "close"), COUNT),
        ],
    },
    Case {
        name: "reset",
        act: reset,
        expected: &[
            LISTENS,
            OPENS[0],
            OPENS[1],
            OPENS[2],
            OPENS[3],
            (("established", "close"), 2 * COUNT),
            LISTENS_NO_MORE,
        ],
    },
    Case {
        name: "a listener closed before it accepts",
        act: never_accepted,
        expected: &[
            LISTENS,
            OPENS[0],
            OPENS[1],
            OPENS[2],
            OPENS[3],
            // The children's end, and the clients' that they reset.
            (("established", "close"), 2 * COUNT),
            LISTENS_NO_MORE,
        ],
    },
    Case {
        name: "half-closed, and shut down again and again",
        act: half_closed,
        expected: &[
            LISTENS,
            OPENS[0],
            OPENS[1],
            OPENS[2],
            OPENS[3],
            CLOSES[0],
            CLOSES[1],
            CLOSES[2],
            CLOSES[3],
            CLOSES[4],
            CLOSES[5],
            LISTENS_NO_MORE,
        ],
    },
    Case {
        name: "connected to itself, and closed at both ends at once",
        act: self_connected,
        expected: &[
            (("close", "syn_sent"), COUNT),
            (("syn_sent", "syn_recv"), COUNT),
            (("syn_recv", "established"), COUNT),
            (("established", "fin_wait1"), COUNT),
            (("fin_wait1", "closing"), COUNT),
            (("closing", "close"), COUNT),
        ],
    },
];

fn refused() -> Result<()> {
    for _ in 0..COUNT {
        ensure!(TcpStream::connect("127.0.0.1:80").is_err());
    }
    Ok(())
}

fn reset() -> Result<()> {
    let listener = TcpListener::bind("[::1]:80")?;
    for _ in 0..COUNT {
        let client = TcpStream::connect("[::1]:80")?;
        let (mut server, _) = listener.accept()?;
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        drop(client);
        ensure!(server.read(&mut [0]).is_err(), "the peer did not reset");
    }
    Ok(())
}

fn never_accepted() -> Result<()> {
    let address: SocketAddr = "127.0.0.1:80".parse()?;
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(&address.into())?;
    listener.listen(i32::try_from(COUNT)?)?;
    let clients = (0..COUNT)
        .map(|_| TcpStream::connect(address))
        .collect::<Result<Vec<_>, _>>()?;
    listener.shutdown(Shutdown::Both)?;
    for mut client in clients {
        ensure!(client.read(&mut [0]).is_err(), "the listener did not reset");
    }
    Ok(())
}

fn half_closed() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:80")?;
    for _ in 0..COUNT {
        let client = TcpStream::connect("127.0.0.1:80")?;
        let (mut server, _) = listener.accept()?;
        for _ in 0..3 {
            // After the first time it may be an error, and changes nothing.
            client.shutdown(Shutdown::Write).ok();
        }
        ensure!(server.read(&mut [0])? == 0);
        drop(server);
        drop(client);
    }
    Ok(())
}

fn self_connected() -> Result<()> {
    for number in 0..COUNT {
        let port = 20_000 + u16::try_from(number)?;
        let address: SocketAddr = ([127, 0, 0, 1], port).into();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&address.into())?;
        socket.connect(&address.into())?;
        drop(socket);
    }
    Ok(())
}
