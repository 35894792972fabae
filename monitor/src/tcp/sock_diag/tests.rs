//! Tests of the parent module and of [`ask`](super::ask): conversations with a kernel that is
//! played by the other end of a pair of sockets. What the real one answers is tested in
//! `tests/sock_diag`.

use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::Instant;

use monitor_ebpf::{Family, TcpState};

use super::ask::{self, all_sockets_of};
use super::captures::{CGROUP, DONE, IPV4, IPV6, NO_INET_DIAG, NO_TCP_DIAG};
use super::collect::Collector;
use super::*;
use crate::tcp::StateCounts;

/// `done.bin` with the flag `NLM_F_DUMP_INTR`.
fn interrupted() -> Vec<u8> {
    let mut done = DONE.to_vec();
    done[6] |= 0x10;
    done
}

/// Talks to a kernel that answers each attempt with these datagrams; `None` is one that cannot be
/// asked for lack of room. Says how often it was asked.
fn talk(
    attempts: &[Option<Vec<&[u8]>>],
    limit: Duration,
) -> (Result<SocketTable, DumpError>, usize) {
    let mut asked = 0;
    let mut kernels = Vec::new();
    let result = all_sockets_of::<ask::Tcp, _>(
        || {
            let attempt = attempts[asked].as_ref();
            asked += 1;
            let (ours, kernel) = UnixDatagram::pair().unwrap();
            for datagram in attempt.ok_or(DumpError::Lost)? {
                kernel.send(datagram).unwrap();
            }
            kernels.push(kernel);
            Ok(ours)
        },
        limit,
    );
    let table = result.map(|sockets| {
        let mut table = SocketTable::default();
        sockets.finish(1, 2, &mut table);
        table
    });
    (table, asked)
}

fn total(table: &SocketTable) -> u64 {
    let mut sum = StateCounts::default();
    for entry in &table.entries {
        sum += &entry.counts;
    }
    sum.total()
}

#[test]
fn both_families_are_added_up() {
    let (table, asked) = talk(&[Some(vec![IPV4, DONE, IPV6, DONE])], LIMIT);
    let table = table.unwrap();
    assert_eq!(asked, 1);
    let cgroups: Vec<u64> = table.entries.iter().map(|entry| entry.key.cgroup).collect();
    assert_eq!(cgroups, [0, CGROUP]);
    let [rest, own] = [&table.entries[0].counts, &table.entries[1].counts];
    assert_eq!((rest.full(), own.full()), (0, 20 + 17));
    assert_eq!(rest.get(Family::Ipv4, TcpState::FinWait2), 1);
    assert_eq!(rest.get(Family::Ipv6, TcpState::SynRecv), 2);
    assert_eq!(own.get(Family::Ipv4, TcpState::FinWait2), 1);
    assert_eq!(own.get(Family::Ipv6, TcpState::CloseWait), 2);
    assert_eq!(rest.total() + own.total(), 23 + 21);
    let two = table.listeners.iter().find(|l| l.port == Some(83)).unwrap();
    assert_eq!((two.length, two.limit, two.inode), (1, 7, 2));
    assert_eq!(table.listeners.len(), 4 + 5);
}

#[test]
fn an_interrupted_answer_is_asked_for_once_more() {
    let broken = interrupted();
    // What was counted before is forgotten.
    let (table, asked) = talk(
        &[
            Some(vec![IPV4, DONE, IPV6, &broken]),
            Some(vec![IPV4, DONE, DONE]),
        ],
        LIMIT,
    );
    assert_eq!((total(&table.unwrap()), asked), (23, 2));
    // The second one is taken as it is.
    let (table, asked) = talk(
        &[
            Some(vec![IPV4, &broken, DONE]),
            Some(vec![IPV4, DONE, &broken]),
        ],
        LIMIT,
    );
    assert_eq!((total(&table.unwrap()), asked), (23, 2));
}

#[test]
fn a_lack_of_room_is_no_error_the_first_time() {
    let (table, asked) = talk(&[None, Some(vec![IPV4, DONE, DONE])], LIMIT);
    assert_eq!((total(&table.unwrap()), asked), (23, 2));
    let (result, asked) = talk(&[None, None], LIMIT);
    assert!(matches!(result, Err(DumpError::Lost)), "{result:?}");
    assert_eq!(asked, 2);
}

#[test]
fn a_missing_module_is_no_process_that_is_gone() {
    for answer in [NO_TCP_DIAG, NO_INET_DIAG] {
        let (result, asked) = talk(&[Some(vec![answer])], LIMIT);
        let error = result.unwrap_err();
        assert!(matches!(error, DumpError::NoTcpDiag), "{error:?}");
        assert!(error.to_string().contains("CONFIG_INET_TCP_DIAG"));
        assert_eq!(asked, 1);
        let visit = Visit {
            inodes: [5, 5],
            sockets: Err::<Collector, _>(error),
        };
        let judged = judged(5, Ok(visit));
        assert!(matches!(judged, Err(DumpError::NoTcpDiag)), "{judged:?}");
    }
}

#[test]
fn other_errors_are_told() {
    let mut refused = NO_TCP_DIAG.to_vec();
    refused[16..20].copy_from_slice(&(-libc::EACCES).to_ne_bytes());
    let (result, _) = talk(&[Some(vec![IPV4, &refused])], LIMIT);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("Permission denied"), "{error}");
    let (result, _) = talk(&[Some(vec![&IPV4[..100]])], LIMIT);
    assert!(matches!(result, Err(DumpError::Parse(_))), "{result:?}");
    let (result, _) = talk(&[Some(vec![&[0; 40_000]])], LIMIT);
    assert!(
        matches!(result, Err(DumpError::Oversized(40_000))),
        "{result:?}"
    );
}

#[test]
fn a_kernel_that_falls_silent_is_given_up() {
    let limit = Duration::from_millis(100);
    let start = Instant::now();
    let (result, asked) = talk(&[Some(vec![IPV4, DONE, IPV6])], limit);
    assert!(matches!(result, Err(DumpError::TimedOut(_))), "{result:?}");
    assert!((limit..20 * limit).contains(&start.elapsed()));
    assert_eq!(asked, 1);
}

#[test]
fn a_kernel_that_never_ends_is_given_up() {
    let limit = Duration::from_millis(100);
    let start = Instant::now();
    let mut senders = Vec::new();
    let result = all_sockets_of::<ask::Tcp, _>(
        || {
            let (ours, kernel) = UnixDatagram::pair().unwrap();
            senders.push(thread::spawn(move || while kernel.send(IPV4).is_ok() {}));
            Ok(ours)
        },
        limit,
    );
    assert!(matches!(result, Err(DumpError::TimedOut(_))), "{result:?}");
    assert!((limit..20 * limit).contains(&start.elapsed()));
    for sender in senders {
        sender.join().unwrap();
    }
}

#[test]
fn what_was_counted_elsewhere_is_thrown_away() {
    let visit = |before, after| {
        Ok(Visit {
            inodes: [before, after],
            sockets: Ok(Collector::default()),
        })
    };
    assert!(matches!(judged(5, visit(5, 5)), Ok(Some(_))));
    assert!(matches!(judged(5, visit(5, 6)), Ok(None)));
    assert!(matches!(judged(5, visit(6, 5)), Ok(None)));
    assert!(matches!(judged(5, visit(6, 6)), Ok(None)));
    let failed = Visit {
        inodes: [5, 6],
        sockets: Err::<Collector, _>(DumpError::Lost),
    };
    assert!(matches!(judged(5, Ok(failed)), Ok(None)));
    let error = |code| Err(io::Error::from_raw_os_error(code));
    assert!(matches!(
        judged::<Collector>(5, error(libc::ENOENT)),
        Ok(None)
    ));
    assert!(matches!(
        judged::<Collector>(5, error(libc::ESRCH)),
        Ok(None)
    ));
    let refused = judged::<Collector>(5, error(libc::EPERM));
    assert!(matches!(refused, Err(DumpError::Enter(_))), "{refused:?}");
}

#[test]
fn nobody_is_visited_for_nothing() {
    let dump = dump(&[]);
    assert_eq!(
        (dump.table, dump.outcomes.len()),
        (SocketTable::default(), 0)
    );
}
