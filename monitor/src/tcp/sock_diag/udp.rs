//! UDP sockets of network namespaces: how many, what waits in their queues, what they dropped.

use monitor_ebpf::Family;

use super::ask::{DumpError, Question};
use super::message::{ParseError, Progress, REQUEST_LEN, udp};
use super::{Target, ask_each};

/// The UDP sockets of one family, added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpSockets {
    /// How many are bound, connected ones too.
    pub sockets: u64,
    /// Memory of the datagrams that wait to be read, in bytes.
    pub receive_queue: u64,
    /// Memory of the datagrams that are on their way out, in bytes.
    pub send_queue: u64,
    /// Datagrams that found no room; those of sockets that are closed are forgotten. `None` where
    /// the kernel does not tell.
    pub drops: Option<u64>,
}

impl UdpSockets {
    /// No socket.
    pub const NONE: Self = Self {
        sockets: 0,
        receive_queue: 0,
        send_queue: 0,
        drops: Some(0),
    };

    fn add(&mut self, socket: &udp::Socket) {
        self.sockets += 1;
        self.receive_queue += u64::from(socket.receive_queue);
        self.send_queue += u64::from(socket.send_queue);
        let both = self.drops.zip(socket.drops);
        self.drops = both.map(|(sum, drops)| sum + u64::from(drops));
    }
}

/// The UDP sockets of one network namespace, by family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpTable([UdpSockets; 2]);

impl UdpTable {
    /// Those of a family.
    pub fn of(&self, family: Family) -> &UdpSockets {
        &self.0[family as usize]
    }
}

/// No socket.
impl Default for UdpTable {
    fn default() -> Self {
        Self([UdpSockets::NONE; 2])
    }
}

struct Udp;

impl Question for Udp {
    type Answer = UdpTable;

    fn request(family: Family) -> [u8; REQUEST_LEN] {
        udp::request(family)
    }

    fn add(datagram: &[u8], answer: &mut UdpTable) -> Result<Progress, ParseError> {
        udp::parse(datagram, |socket| {
            answer.0[socket.family as usize].add(&socket);
        })
    }

    fn missing() -> DumpError {
        DumpError::NoUdpDiag
    }
}

/// Counts the UDP sockets of each namespace, as [`dump`](super::dump) does those of TCP; `None`
/// where the process has exited or is elsewhere by now.
pub fn tables(namespaces: &[Target<'_>]) -> Vec<Result<Option<UdpTable>, DumpError>> {
    ask_each::<Udp>(namespaces).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tcp::sock_diag::message::End;

    /// A message of one socket, with as many numbers of its memory as are given.
    fn message(family: i32, queues: [u32; 2], memory: &[u32]) -> Vec<u8> {
        let value: Vec<u8> = memory.iter().flat_map(|n| n.to_ne_bytes()).collect();
        let length = (16 + 72 + 4 + value.len()) as u32;
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(20u16.to_ne_bytes());
        message.extend([0; 10]);
        message.extend([family as u8, 7, 0, 0]);
        message.extend([0; 52]);
        message.extend(queues.iter().flat_map(|n| n.to_ne_bytes()));
        message.extend([0; 8]);
        message.extend(((4 + value.len()) as u16).to_ne_bytes());
        message.extend(7u16.to_ne_bytes());
        message.extend(value);
        message
    }

    fn table(datagram: &[u8]) -> Result<UdpTable, ParseError> {
        let mut table = UdpTable::default();
        Udp::add(datagram, &mut table).map(|_| table)
    }

    #[test]
    fn sockets_are_added_up_by_family() {
        let memory = |drops| [9, 9, 9, 9, 9, 9, 9, 9, drops];
        let datagram = [
            message(libc::AF_INET, [1, 2], &memory(3)),
            message(libc::AF_INET6, [10, 20], &memory(30)),
            message(libc::AF_INET, [u32::MAX, 4], &memory(5)),
        ];
        let table = table(&datagram.concat()).unwrap();
        let v4 = UdpSockets {
            sockets: 2,
            receive_queue: 1 + u64::from(u32::MAX),
            send_queue: 6,
            drops: Some(8),
        };
        assert_eq!(*table.of(Family::Ipv4), v4);
        assert_eq!(table.of(Family::Ipv6).drops, Some(30));
        assert_eq!(*UdpTable::default().of(Family::Ipv6), UdpSockets::NONE);
    }

    #[test]
    fn drops_that_one_socket_does_not_tell_are_not_known() {
        let datagram = [
            message(libc::AF_INET, [1, 2], &[9; 9]),
            message(libc::AF_INET, [1, 2], &[9; 8]),
        ];
        let table = table(&datagram.concat()).unwrap();
        assert_eq!(table.of(Family::Ipv4).drops, None);
        assert_eq!(table.of(Family::Ipv4).sockets, 2);
    }

    #[test]
    fn what_is_cut_or_something_else_is_an_error() {
        let whole = message(libc::AF_INET, [1, 2], &[9; 9]);
        for length in 0..whole.len() {
            assert!(table(&whole[..length]).is_err(), "{length}");
        }
        assert!(table(&message(libc::AF_UNIX, [1, 2], &[9; 9])).is_err());
        // ENOENT, as where there is no udp_diag.
        let mut error = 36u32.to_ne_bytes().to_vec();
        error.extend(2u16.to_ne_bytes());
        error.extend([0; 10]);
        error.extend((-libc::ENOENT).to_ne_bytes());
        error.extend([0; 16]);
        let progress = Udp::add(&error, &mut UdpTable::default()).unwrap();
        assert_eq!(progress.end, Some(End::Error(libc::ENOENT)));
        assert!(Udp::missing().to_string().contains("CONFIG_INET_UDP_DIAG"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = table(&bytes);
        }

        #[test]
        fn a_changed_byte_is_read_without_panic(at in 0usize..136, byte in any::<u8>()) {
            let mut whole = message(libc::AF_INET, [1, 2], &[9; 9]);
            if let Some(place) = whole.get_mut(at) {
                *place = byte;
            }
            let _ = table(&whole);
        }
    }
}
