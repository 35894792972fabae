//! What is found in datagrams of a real kernel.

use std::collections::BTreeMap;

use super::*;
use crate::tcp::sock_diag::captures::{CGROUP, IPV6, NO_INET_DIAG, NO_TCP_DIAG, SYN_RECV};

type Counts = BTreeMap<(u8, &'static str), u64>;

fn counts(sockets: &[Socket]) -> Counts {
    let mut counts = Counts::new();
    for socket in sockets {
        let kind = match socket.kind {
            Kind::Full => "full",
            Kind::Minisock => "minisock",
            Kind::Request => "request",
        };
        *counts.entry((socket.state, kind)).or_default() += 1;
    }
    counts
}

#[test]
fn captures_give_every_socket_and_what_it_is() {
    let (v4, progress) = sockets(IPV4).unwrap();
    assert_eq!(progress, Progress::default());
    assert!(v4.iter().all(|socket| socket.family == Family::Ipv4));
    let expected = [
        ((1, "full"), 11),
        ((2, "full"), 1),
        ((3, "request"), 1),
        ((5, "full"), 1),
        ((5, "minisock"), 1),
        ((6, "minisock"), 1),
        ((8, "full"), 2),
        ((10, "full"), 5),
    ];
    assert_eq!(counts(&v4), Counts::from(expected));

    let (v6, progress) = sockets(IPV6).unwrap();
    assert_eq!(progress, Progress::default());
    assert!(v6.iter().all(|socket| socket.family == Family::Ipv6));
    let expected = [
        ((1, "full"), 8),
        ((2, "full"), 1),
        ((3, "request"), 2),
        ((5, "full"), 1),
        ((5, "minisock"), 1),
        ((6, "minisock"), 1),
        ((8, "full"), 2),
        ((10, "full"), 5),
    ];
    assert_eq!(counts(&v6), Counts::from(expected));

    for socket in v4.iter().chain(&v6) {
        let full = socket.kind == Kind::Full;
        assert_eq!(socket.cgroup, if full { CGROUP } else { 0 }, "{socket:?}");
        assert_eq!(socket.queue.is_some(), socket.state == 10, "{socket:?}");
    }
}

#[test]
fn captures_give_accept_queues() {
    let queues = |datagram| {
        let sockets = sockets(datagram).unwrap().0.into_iter();
        let mut queues: Vec<_> = sockets
            .filter_map(|socket| socket.queue)
            .map(|queue| (queue.port, queue.length, queue.limit))
            .collect();
        queues.sort();
        queues
    };
    let mut both = queues(IPV4);
    // Which of the two the client got to is the kernel's choice.
    let waiting: u32 = both.iter().map(|q| if q.0 == 83 { q.1 } else { 0 }).sum();
    both.iter_mut()
        .filter(|queue| queue.0 == 83)
        .for_each(|queue| queue.1 = 0);
    both.sort();
    assert_eq!(
        both,
        [(80, 1, 16), (81, 0, 16), (82, 1, 0), (83, 0, 3), (83, 0, 4)]
    );
    assert_eq!(waiting, 1);
    assert_eq!(
        queues(IPV6),
        [(80, 1, 16), (81, 0, 16), (82, 1, 0), (90, 1, 5), (91, 0, 5)]
    );
}

/// A connection of TCP Fast Open that repeats its SYN+ACK has the state and the timer of a request.
#[test]
fn a_full_socket_can_be_in_syn_recv() {
    let found = sockets(SYN_RECV).unwrap().0;
    let syn_recv = TcpState::SynRecv as u8;
    let of = |socket: &Socket| (socket.state, socket.kind, socket.counted_state());
    assert_eq!(of(&found[1]), (syn_recv, Kind::Full, syn_recv));
    let found = sockets(IPV4).unwrap().0;
    let request = found.iter().find(|socket| socket.state == syn_recv);
    let expected = (syn_recv, Kind::Request, TcpState::REQUEST);
    assert_eq!(request.map(of), Some(expected));
}

#[test]
fn captures_of_ends() {
    let end = |datagram| sockets(datagram).unwrap().1.end;
    assert_eq!(end(DONE), Some(End::Done));
    assert_eq!(end(NO_TCP_DIAG), Some(End::Error(libc::ENOENT)));
    assert_eq!(end(NO_INET_DIAG), Some(End::Error(libc::ENOENT)));
    // The end may share a datagram with sockets. Nothing counts after it.
    let all = sockets(&[IPV4, DONE, IPV6].concat()).unwrap();
    assert_eq!(all.0, sockets(IPV4).unwrap().0);
    assert_eq!(all.1.end, Some(End::Done));
}

#[test]
fn captures_cut_anywhere_but_between_messages_are_errors() {
    for capture in [IPV4, IPV6, SYN_RECV, DONE, NO_TCP_DIAG, NO_INET_DIAG] {
        let all = sockets(capture).unwrap().0;
        let mut whole = 0;
        for cut in 0..capture.len() {
            if let Ok((found, progress)) = sockets(&capture[..cut]) {
                whole += 1;
                assert_eq!(found, all[..whole], "cut at {cut}");
                assert_eq!(progress.end, None, "cut at {cut}");
            }
        }
        assert_eq!(whole, all.len().saturating_sub(1));
    }
}
