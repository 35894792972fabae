//! A UDP receiver and its senders.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

use anyhow::{Context, Result};

use super::{Pace, bounded};

/// Receives on `port` of 127.0.0.1 and of ::1 (where there is one), with `senders` sockets that
/// send one datagram a second each, in turn to each receiver; one in ten goes to the port after it,
/// where nobody listens. Never ends.
///
/// # Errors
/// When the port is taken.
pub fn datagrams(port: u16, senders: usize) -> Result<()> {
    let rate = u32::try_from(senders)?;
    bounded(senders, rate)?;
    let mut sockets = Vec::new();
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("can't receive at port {port}"))?;
    receive(receiver);
    let ipv6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, port)).map(receive);
    for number in 0..senders {
        let socket = if ipv6.is_ok() && number % 2 == 1 {
            let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0))?;
            (socket, Ipv6Addr::LOCALHOST.into())
        } else {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            (socket, std::net::IpAddr::from(Ipv4Addr::LOCALHOST))
        };
        sockets.push(socket);
    }
    let mut pace = Pace::new(rate);
    for (sent, (socket, to)) in (0_u64..).zip(sockets.iter().cycle()) {
        pace.wait();
        let port = if sent % 10 == 9 { port + 1 } else { port };
        // Refusals come back as errors of a later send, and are wanted here.
        socket.send_to(b"datagram", (*to, port)).ok();
    }
    Ok(())
}

/// Reads what comes, on a thread of its own.
fn receive(socket: UdpSocket) {
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        while socket.recv(&mut bytes).is_ok() {}
    });
}
