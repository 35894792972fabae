//! Tests of the parent module.

use super::*;
use crate::tcp::sock_diag::captures::{DONE, IPV4};

mod properties;
mod real;

fn sockets(datagram: &[u8]) -> Result<(Vec<Socket>, Progress), ParseError> {
    let mut sockets = Vec::new();
    let progress = parse(datagram, |socket| sockets.push(socket))?;
    Ok((sockets, progress))
}

fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = (HEADER + payload.len()) as u32;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(payload);
    message.resize(message.len().next_multiple_of(ALIGNMENT), 0);
    message
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (ATTRIBUTE + value.len()) as u16;
    let mut attribute = length.to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(ALIGNMENT), 0);
    attribute
}

/// `struct inet_diag_msg` with what is read of it.
fn body(family: i32, state: u8, timer: u8) -> Vec<u8> {
    let mut body = vec![family as u8, state, timer, 0];
    body.resize(SOCKET, 0);
    body
}

fn one(payload: &[u8]) -> Result<Socket, ParseError> {
    let (mut sockets, progress) = sockets(&message(SOCK_DIAG_BY_FAMILY, 2, payload))?;
    assert_eq!(progress, Progress::default());
    assert_eq!(sockets.len(), 1);
    Ok(sockets.remove(0))
}

#[test]
fn states_are_counted_by_what_the_entry_is() {
    let counted = |state, timer| {
        let shutdown = attribute(INET_DIAG_SHUTDOWN, &[0]);
        let socket = one(&[body(libc::AF_INET6, state, timer), shutdown].concat());
        socket.unwrap().counted_state()
    };
    for state in 1..=11 {
        assert_eq!(counted(state, 0), state);
    }
    assert_eq!(counted(6, 3), TcpState::TimeWait as u8);
    assert_eq!(counted(5, 3), TcpState::FIN_WAIT2_MINISOCK);
    // The other timers: retransmission, keepalive, probes of a closed window.
    for timer in [1, 2, 4] {
        assert_eq!(counted(5, timer), TcpState::FinWait2 as u8);
    }
}

#[test]
fn attributes_that_are_not_known_do_not_matter() {
    let payload = [
        body(libc::AF_INET, 1, 0),
        attribute(INET_DIAG_SHUTDOWN, &[]),
        attribute(9999, &[0xff; 7]),
        attribute(0x4000 | INET_DIAG_CGROUP_ID, &77u64.to_ne_bytes()),
        attribute(0, &[1]),
    ];
    assert_eq!(one(&payload.concat()).unwrap().cgroup, 77);
    // The last one need not be padded.
    let mut unpadded = payload.concat();
    unpadded.truncate(unpadded.len() - 3);
    assert_eq!(one(&unpadded).unwrap().cgroup, 77);
    assert_eq!(one(&payload[0]).unwrap().cgroup, 0);
}

#[test]
fn errors_say_where_and_what() {
    let error = |datagram: &[u8]| sockets(datagram).unwrap_err().to_string();
    assert_eq!(
        error(b""),
        "a message header at byte 0 takes 16 bytes, but 0 are left"
    );
    let mut short = message(SOCK_DIAG_BY_FAMILY, 2, &[0; SOCKET]);
    short[..4].copy_from_slice(&15u32.to_ne_bytes());
    assert_eq!(
        error(&short),
        "the message at byte 0 says that it is 15 bytes long"
    );
    short[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert_eq!(
        error(&short),
        "the message at byte 0 takes 4294967295 bytes, but 88 are left"
    );
    short[..4].copy_from_slice(&87u32.to_ne_bytes());
    assert_eq!(
        error(&short),
        "a socket at byte 16 takes 72 bytes, but 71 are left"
    );
    let of =
        |payload: &[u8]| error(&[DONE_NOT_YET, &[&message(20, 2, payload)[..]].concat()].concat());
    assert_eq!(of(&body(1, 1, 0)), "the socket at byte 20 has family 1");
    assert_eq!(of(&body(2, 0, 3)), "the socket at byte 20 is in state 0");
    assert_eq!(of(&body(2, 12, 0)), "the socket at byte 20 is in state 12");
    let with = |attribute: &[u8]| of(&[&body(2, 1, 0), attribute].concat());
    assert_eq!(
        with(&[4, 0, 8]),
        "an attribute header at byte 108 takes 4 bytes, but 3 are left"
    );
    assert_eq!(
        with(&[3, 0, 8, 0]),
        "the attribute at byte 108 says that it is 3 bytes long"
    );
    assert_eq!(
        with(&[9, 0, 8, 0, 1, 1, 1, 1]),
        "the attribute at byte 108 takes 9 bytes, but 8 are left"
    );
    assert_eq!(
        with(&attribute(INET_DIAG_CGROUP_ID, &[1; 7])),
        "a cgroup id at byte 112 takes 8 bytes, but 7 are left"
    );
    assert_eq!(
        error(&message(NLMSG_DONE, 2, &[0; 3])),
        "an error code at byte 16 takes 4 bytes, but 3 are left"
    );
    assert_eq!(
        error(&message(4, 2, &[])),
        "the message at byte 0 has type 4"
    );
}

/// An acknowledgement: 20 bytes that end nothing.
const DONE_NOT_YET: &[u8] = &{
    let mut message = [0; 20];
    message[0] = 20;
    message[4] = NLMSG_ERROR as u8;
    message
};

#[test]
fn errors_of_the_kernel_end_the_answer() {
    let end = |kind, code: i32| {
        sockets(&message(kind, 2, &code.to_ne_bytes()))
            .unwrap()
            .1
            .end
    };
    assert_eq!(end(NLMSG_ERROR, -13), Some(End::Error(13)));
    assert_eq!(end(NLMSG_DONE, -13), Some(End::Error(13)));
    assert_eq!(end(NLMSG_ERROR, i32::MIN), Some(End::Error(i32::MAX)));
    assert_eq!(end(NLMSG_ERROR, 0), None);
    assert_eq!(end(NLMSG_DONE, 0), Some(End::Done));
    assert_eq!(end(NLMSG_DONE, 1), Some(End::Done));
}

#[test]
fn an_interruption_is_seen_on_every_message() {
    let interrupted = |datagram: &[u8]| sockets(datagram).unwrap().1.interrupted;
    assert!(!interrupted(DONE));
    assert!(interrupted(&message(
        NLMSG_DONE,
        2 | NLM_F_DUMP_INTR,
        &[0; 4]
    )));
    let socket = message(SOCK_DIAG_BY_FAMILY, 2 | NLM_F_DUMP_INTR, &body(2, 1, 0));
    assert!(interrupted(&[&socket[..], DONE].concat()));
}

#[test]
fn the_request_is_the_kernels() {
    let request = request(Family::Ipv6);
    let mut expected = vec![72, 0, 0, 0, 20, 0, 1, 3];
    expected.resize(HEADER, 0);
    expected.extend([10, 6, 0, 0, 0xfe, 0x1f]);
    expected.resize(72, 0);
    assert_eq!(request[..], expected);
    assert_eq!(super::request(Family::Ipv4)[HEADER], 2);
}
