//! What holds for all datagrams.

use proptest::prelude::*;

use super::*;

fn any_socket() -> impl Strategy<Value = (Socket, Vec<u8>)> {
    let kinds = prop_oneof![Just(Kind::Full), Just(Kind::Minisock), Just(Kind::Request)];
    let noise = prop::collection::vec(
        (100u16..0x3fff, prop::collection::vec(any::<u8>(), 0..9)),
        0..4,
    );
    (
        kinds,
        any::<bool>(),
        1u8..=11,
        any::<(u64, u16, u32, u32)>(),
        noise,
    )
        .prop_map(|(kind, v6, state, (cgroup, port, length, limit), noise)| {
            let state = match kind {
                Kind::Full => state,
                Kind::Minisock => 5 + state % 2,
                Kind::Request => 3,
            };
            let full = kind == Kind::Full;
            let queue = (state == 10).then_some(Queue {
                port,
                length,
                limit,
            });
            let family = if v6 { Family::Ipv6 } else { Family::Ipv4 };
            let number = if v6 { libc::AF_INET6 } else { libc::AF_INET };
            let timer = if kind == Kind::Minisock { 3 } else { 0 };
            let mut bytes = body(number, state, timer);
            bytes[4..6].copy_from_slice(&port.to_be_bytes());
            bytes[56..60].copy_from_slice(&length.to_ne_bytes());
            bytes[60..64].copy_from_slice(&limit.to_ne_bytes());
            for (kind, value) in noise {
                bytes.extend(attribute(kind, &value));
            }
            if full {
                bytes.extend(attribute(INET_DIAG_SHUTDOWN, &[0]));
                bytes.extend(attribute(INET_DIAG_CGROUP_ID, &cgroup.to_ne_bytes()));
            }
            let cgroup = if full { cgroup } else { 0 };
            let socket = Socket {
                family,
                state,
                kind,
                cgroup,
                queue,
            };
            (socket, message(SOCK_DIAG_BY_FAMILY, 2, &bytes))
        })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(datagram in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = sockets(&datagram);
    }

    #[test]
    fn no_lies_in_a_capture_make_it_panic(
        changes in prop::collection::vec((0..IPV4.len(), any::<u8>()), 1..20)
    ) {
        let mut datagram = IPV4.to_vec();
        for (at, byte) in changes {
            datagram[at] = byte;
        }
        let _ = sockets(&datagram);
    }

    #[test]
    fn no_payload_makes_it_panic(
        kind in 0u16..22, payload in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        let _ = sockets(&message(kind, 2, &payload));
    }

    #[test]
    fn what_is_written_is_read(written in prop::collection::vec(any_socket(), 1..20)) {
        let (expected, messages): (Vec<_>, Vec<_>) = written.into_iter().unzip();
        let (found, progress) = sockets(&messages.concat()).unwrap();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(progress, Progress::default());
    }
}
