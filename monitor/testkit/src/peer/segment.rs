//! TCP segments without options and data in IP packets: written with all checksums, and read as
//! far as the peer needs it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 16;

const TCP: u8 = 6;
const TCP_HEADER: usize = 20;

/// A segment, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    /// How many bytes of data it carries.
    pub(super) data: u32,
}

impl Segment {
    /// The sequence number that follows it: SYN and FIN take one each.
    pub(super) fn next(&self) -> u32 {
        let ends = (self.flags & (SYN | FIN)).count_ones();
        self.seq.wrapping_add(self.data).wrapping_add(ends)
    }

    /// Reads an IP packet; `None` when it is no whole TCP segment.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let (from, to, tcp): (IpAddr, IpAddr, &[u8]) = match packet.first()? >> 4 {
            4 => {
                let header = usize::from(packet[0] & 15) * 4;
                let length = usize::from(u16::from_be_bytes(array(packet, 2)?));
                let from: [u8; 4] = array(packet, 12)?;
                let to: [u8; 4] = array(packet, 16)?;
                (packet[9] == TCP).then_some(())?;
                (from.into(), to.into(), packet.get(header..length)?)
            }
            6 => {
                let length = usize::from(u16::from_be_bytes(array(packet, 4)?));
                let from: [u8; 16] = array(packet, 8)?;
                let to: [u8; 16] = array(packet, 24)?;
                // With an extension header it is none of the kernel's usual ones.
                (packet[6] == TCP).then_some(())?;
                (from.into(), to.into(), packet.get(40..40 + length)?)
            }
            _ => return None,
        };
        let header = usize::from(tcp.get(12)? >> 4) * 4;
        Some(Self {
            from: (from, u16::from_be_bytes(array(tcp, 0)?)).into(),
            to: (to, u16::from_be_bytes(array(tcp, 2)?)).into(),
            seq: u32::from_be_bytes(array(tcp, 4)?),
            ack: u32::from_be_bytes(array(tcp, 8)?),
            flags: *tcp.get(13)?,
            data: u32::try_from(tcp.len().checked_sub(header)?).ok()?,
        })
    }

    /// The segment as an IP packet. Addresses of two families make none: `None`.
    pub(super) fn packet(&self) -> Option<Vec<u8>> {
        let mut tcp = Vec::with_capacity(TCP_HEADER);
        tcp.extend(self.from.port().to_be_bytes());
        tcp.extend(self.to.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        // Five words of header; a window of everything, no checksum yet, nothing urgent.
        tcp.extend([5 << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        let length = u16::try_from(TCP_HEADER).ok()?;
        let (mut packet, addresses) = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(from, to, length),
            (IpAddr::V6(from), IpAddr::V6(to)) => ipv6(from, to, length),
            _ => return None,
        };
        // TCP's checksum covers the addresses, the protocol and the length too.
        let pseudo = [0, TCP].into_iter().chain(length.to_be_bytes());
        let sum = checksum(addresses.into_iter().chain(pseudo).chain(tcp.clone()));
        tcp[16..18].copy_from_slice(&sum);
        packet.extend(tcp);
        Some(packet)
    }
}

/// The header of an IPv4 packet, and both addresses.
fn ipv4(from: Ipv4Addr, to: Ipv4Addr, length: u16) -> (Vec<u8>, Vec<u8>) {
    let addresses = [from.octets(), to.octets()].concat();
    let mut header = vec![0x45, 0];
    header.extend((20 + length).to_be_bytes());
    // Identification 0, not to be fragmented, 64 hops, no checksum yet.
    header.extend([0, 0, 0x40, 0, 64, TCP, 0, 0]);
    header.extend(&addresses);
    let sum = checksum(header.iter().copied());
    header[10..12].copy_from_slice(&sum);
    (header, addresses)
}

/// The header of an IPv6 packet, and both addresses.
fn ipv6(from: Ipv6Addr, to: Ipv6Addr, length: u16) -> (Vec<u8>, Vec<u8>) {
    let addresses = [from.octets(), to.octets()].concat();
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(length.to_be_bytes());
    header.extend([TCP, 64]);
    header.extend(&addresses);
    (header, addresses)
}

/// The Internet checksum of an even number of bytes: the complement of their sum in 16-bit words,
/// where what is carried over is added again.
fn checksum(bytes: impl Iterator<Item = u8>) -> [u8; 2] {
    let mut sum: u32 = 0;
    for (at, byte) in bytes.enumerate() {
        sum += u32::from(byte) << if at % 2 == 0 { 8 } else { 0 };
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [.., high, low] = (!sum).to_be_bytes();
    [high, low]
}

/// The `N` bytes from `at` on.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(from: &str, to: &str) -> Segment {
        Segment {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            seq: u32::MAX,
            ack: 7,
            flags: SYN | ACK,
            data: 0,
        }
    }

    #[test]
    fn reads_what_it_writes() {
        for (from, to) in [
            ("10.77.0.2:80", "10.77.0.1:40000"),
            ("[fd77::2]:80", "[fd77::1]:40000"),
        ] {
            let segment = segment(from, to);
            let packet = segment.packet().unwrap();
            assert_eq!(Segment::read(&packet), Some(segment));
            assert_eq!(segment.next(), 0);
            // Cut short anywhere it is no segment, and no panic.
            for length in 0..packet.len() {
                assert_eq!(Segment::read(&packet[..length]), None, "{length}");
            }
        }
        assert_eq!(segment("10.77.0.2:80", "[fd77::1]:80").packet(), None);
    }

    /// The kernel checks the rest: nothing would answer a wrong checksum.
    #[test]
    fn sums_as_the_rfc_does() {
        // The example of RFC 1071: the sum is ddf2.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(bytes.into_iter()), (!0xddf2_u16).to_be_bytes());
    }

    #[test]
    fn reads_data_and_options_of_the_kernel() {
        let mut packet = segment("10.77.0.1:1", "10.77.0.2:2").packet().unwrap();
        // One word of options, three bytes of data.
        packet[32] = 6 << 4;
        packet.extend([1, 1, 1, 0, b'a', b'b', b'c']);
        packet[3] += 7;
        assert_eq!(Segment::read(&packet).unwrap().data, 3);
        packet[9] = 17;
        assert_eq!(Segment::read(&packet), None);
    }
}
