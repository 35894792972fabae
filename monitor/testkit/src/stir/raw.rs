//! Segments that no socket would send. The kernel makes the IP header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use anyhow::Result;
use socket2::{Domain, Protocol, Socket, Type};

/// A raw socket of a protocol, and where it sends to. A raw socket has no port.
pub(super) fn socket(to: IpAddr, protocol: Protocol) -> Result<(Socket, SocketAddr)> {
    let to = SocketAddr::new(to, 0);
    let socket = Socket::new(
        Domain::for_address(to),
        Type::from(libc::SOCK_RAW),
        Some(protocol),
    )?;
    // The copies of what others receive are not read.
    socket.set_recv_buffer_size(1)?;
    Ok((socket, to))
}

/// Segments that can't be understood: `in_errs`, `in_segs`. The first ones have a header that is
/// too short, the last one a wrong checksum, of which the kernel has a count too.
pub(super) fn bad_segments(count: usize) -> Result<()> {
    let mut short = [0; 20];
    // Port 1 to port 1, four words of header, where five are the least.
    (short[1], short[3], short[12]) = (1, 1, 4 << 4);
    let (v4, to_v4) = socket(Ipv4Addr::LOCALHOST.into(), Protocol::TCP)?;
    for _ in 1..count {
        v4.send_to(&short, &to_v4.into())?;
    }
    let mut wrong = short;
    (wrong[12], wrong[16], wrong[17]) = (5 << 4, 0x12, 0x34);
    match socket(Ipv6Addr::LOCALHOST.into(), Protocol::TCP) {
        Ok((v6, to_v6)) => v6.send_to(&wrong, &to_v6.into())?,
        Err(_) => v4.send_to(&wrong, &to_v4.into())?,
    };
    Ok(())
}

/// An acknowledgement of nothing, with a right checksum.
pub(super) fn segment(from: SocketAddrV4, to: SocketAddrV4, seq: u32) -> [u8; 20] {
    let mut segment = [0; 20];
    segment[0..2].copy_from_slice(&from.port().to_be_bytes());
    segment[2..4].copy_from_slice(&to.port().to_be_bytes());
    segment[4..8].copy_from_slice(&seq.to_be_bytes());
    // Five words of header, ACK, a window.
    segment[12..16].copy_from_slice(&[5 << 4, 16, 0xff, 0xff]);
    // TCP's checksum covers the addresses, the protocol and the length too.
    let addresses = [from.ip().octets(), to.ip().octets()].concat();
    let words = addresses.iter().chain(&[0, 6, 0, 20]).chain(&segment);
    let mut sum: u32 = 0;
    for (at, byte) in words.enumerate() {
        sum += u32::from(*byte) << if at % 2 == 0 { 8 } else { 0 };
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [.., high, low] = (!sum).to_be_bytes();
    (segment[16], segment[17]) = (high, low);
    segment
}
