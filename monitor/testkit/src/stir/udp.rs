//! Datagrams that arrive, and those that don't.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::{Result, ensure};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use socket2::Protocol;

use super::inside::Inside;
use super::promise::{Block, UDP_V4, UDP_V6};
use super::raw;
use crate::sys;

/// UDP over one family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Udp {
    loopback: IpAddr,
    pub(super) block: Block,
}

/// The least that Ethernet takes, and what loopback takes by default.
const MTU: [libc::c_int; 2] = [1500, 65_536];

impl Udp {
    /// Over each family.
    pub(super) const BOTH: [Self; 2] = [
        Self {
            loopback: IpAddr::V4(Ipv4Addr::LOCALHOST),
            block: UDP_V4,
        },
        Self {
            loopback: IpAddr::V6(Ipv6Addr::LOCALHOST),
            block: UDP_V6,
        },
    ];

    /// That of a block of its counters.
    pub(super) fn of(block: &Block) -> Option<Self> {
        Self::BOTH
            .into_iter()
            .find(|udp| udp.block.family == block.family)
    }

    pub(super) fn socket(&self) -> Result<UdpSocket> {
        Ok(UdpSocket::bind((self.loopback, 0))?)
    }

    /// Datagrams that are received: `in_datagrams`, `out_datagrams`.
    pub(super) fn exchange(&self, count: usize) -> Result<()> {
        let (from, to) = (self.socket()?, self.socket()?);
        for _ in 0..count {
            from.send_to(b"datagram", to.local_addr()?)?;
            to.recv(&mut [0; 8])?;
        }
        Ok(())
    }

    /// Datagrams that nobody waits for: `no_ports`, `out_datagrams`.
    pub(super) fn unheard(&self, count: usize) -> Result<()> {
        let from = self.socket()?;
        let free = self.socket()?.local_addr()?;
        for _ in 0..count {
            from.send_to(b"datagram", free)?;
        }
        Ok(())
    }

    /// Datagrams with a wrong checksum: `in_errors`.
    pub(super) fn bad(&self, count: usize) -> Result<()> {
        let (socket, to) = raw::socket(self.loopback, Protocol::UDP)?;
        // Port 1 to port 1, a header alone.
        let wrong = [0, 1, 0, 1, 0, 8, 0x12, 0x34];
        for _ in 0..count {
            socket.send_to(&wrong, &to.into())?;
        }
        Ok(())
    }

    /// Datagrams that the receiver has no room for: `rcvbuf_errors` and `in_errors`.
    pub(super) fn overflow(&self, inside: &Inside, count: usize) -> Result<()> {
        let (from, to) = (self.socket()?, self.socket()?);
        set_socket_recv_buffer_size(&to, 1)?;
        let to = to.local_addr().map(|address| (address, to))?;
        inside.until_risen(&self.block, "rcvbuf_errors", count, || {
            from.send_to(&[0; 500], to.0)?;
            Ok(())
        })
    }

    /// Datagrams of many fragments, more than the sender may have under way: `sndbuf_errors`.
    pub(super) fn send_too_much(&self, count: usize) -> Result<()> {
        let from = self.socket()?;
        set_socket_send_buffer_size(&from, 1)?;
        sys::set_loopback_mtu(MTU[0])?;
        let to: SocketAddr = from.local_addr()?;
        let sent = (0..count).try_for_each(|_| match from.send_to(&[0; 40_000], to) {
            Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => Ok(()),
            other => {
                other?;
                ensure!(false, "there is room for 40,000 bytes");
                Ok(())
            }
        });
        sys::set_loopback_mtu(MTU[1])?;
        sent
    }
}
