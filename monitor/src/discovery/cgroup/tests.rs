//! Scans of real namespaces and cgroups, on an [`Island`]: a pid namespace with its own `/proc`,
//! which no other process of the machine is in.

mod island;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use self::island::{Cgroup, Island};
use super::{Scan, Scanner, replacement};
use crate::container::{Container, Runtime};

const A: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
const B: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

fn scan(island: &Island, scanner: &mut Scanner) -> Scan {
    scan_but(island, scanner, &HashSet::new())
}

fn scan_but(island: &Island, scanner: &mut Scanner, known: &HashSet<u64>) -> Scan {
    let host = island.procfs.netns_inode(1).unwrap();
    scanner
        .scan(&island.procfs, host, known, &HashSet::new())
        .unwrap()
}

fn names(scan: &Scan) -> Vec<&str> {
    scan.containers
        .iter()
        .map(|container| container.name.as_str())
        .collect()
}

fn inode(container: &Container) -> u64 {
    container.process.netns_inode().unwrap()
}

#[test]
fn a_namespace_without_ids_is_one_container_named_by_its_oldest_process() {
    let island = Island::start(
        "sleep 600 &
         unshare -n sh -c 'sleep 600 & echo $! >/run/a; exec tail -f /dev/null' &
         await /run/a; say $!",
    );
    let mut scanner = Scanner::new();
    let found = scan(&island, &mut scanner);
    assert_eq!(names(&found), ["tail"]);
    assert_eq!(found.denied, 0);
    let container = &found.containers[0];
    assert_eq!(container.id, "");
    assert_eq!(container.runtime, Runtime::None);
    assert_eq!(container.process.pid(), island.said()[1]);
    assert!(container.started > 0);
    assert_ne!(inode(container), island.procfs.netns_inode(1).unwrap());

    // The oldest ends: the namespace is still there, with the process that is left.
    island.kill(island.said()[1]);
    let left = scan(&island, &mut scanner);
    assert_eq!(names(&left), ["sleep"]);
    assert_eq!(left.containers[0].process.pid(), island.said()[0]);
}

#[test]
fn the_same_processes_keep_their_guards_and_names() {
    let island = Island::start("for i in 1 2; do unshare -n sleep 600 & say $!; pause; done");
    let mut scanner = Scanner::new();
    let first = scan(&island, &mut scanner);
    let second_inode = inode(&first.containers[1]);
    let suffixed = format!("sleep-{second_inode}");
    assert_eq!(names(&first), ["sleep", &suffixed]);
    assert_eq!(first.containers[0].process.pid(), island.said()[0]);

    let again = scan(&island, &mut scanner);
    for (before, after) in first.containers.iter().zip(&again.containers) {
        assert!(
            Arc::ptr_eq(before, after),
            "{} was opened again",
            before.name
        );
    }
    // The second does not take the name of the first once that is free.
    island.kill(island.said()[0]);
    assert_eq!(names(&scan(&island, &mut scanner)), [suffixed]);
    island.kill(island.said()[1]);
    assert_eq!(names(&scan(&island, &mut scanner)), [""; 0]);
}

#[test]
fn namespaces_that_are_known_are_passed_over() {
    let island = Island::start("for i in 1 2; do unshare -n sleep 600 & say $!; done");
    let mut scanner = Scanner::new();
    let both = scan(&island, &mut scanner);
    let known = HashSet::from([inode(&both.containers[0])]);
    let rest = scan_but(&island, &mut scanner, &known);
    assert_eq!(rest.containers.len(), 1);
    assert_eq!(inode(&rest.containers[0]), inode(&both.containers[1]));
}

#[test]
fn entries_of_run_netns_are_names() {
    let island = Island::start(
        "touch /run/netns/blue; unshare --net=/run/netns/blue sleep 600 & say $!
         pause; unshare -n sleep 600 & say $!",
    );
    let mut scanner = Scanner::new();
    assert_eq!(names(&scan(&island, &mut scanner)), ["blue", "sleep"]);
    // A name that is given later replaces the command's.
    island.run(&format!(
        "touch /run/netns/red; mount --bind /proc/{}/ns/net /run/netns/red",
        island.said()[1]
    ));
    assert_eq!(names(&scan(&island, &mut scanner)), ["blue", "red"]);
}

#[test]
fn a_run_netns_that_leads_elsewhere_is_not_followed() {
    let island = Island::start(
        "mkdir /run/real; touch /run/real/blue
         unshare --net=/run/real/blue sleep 600 & say $!
         pause; rmdir /run/netns; ln -s real /run/netns",
    );
    assert_eq!(names(&scan(&island, &mut Scanner::new())), ["sleep"]);
}

#[test]
fn container_ids_tell_the_processes_of_a_namespace_apart() {
    let cgroup = Cgroup::new(&[
        &format!("docker-{A}.scope"),
        &format!("cri-containerd-{B}.scope"),
    ]);
    let island = Island::start_in(
        &cgroup,
        &format!(
            "unshare -n sh -c '
               sleep 600 & echo $! >$CGROUP/docker-{A}.scope/cgroup.procs; echo $! >/run/a
               sleep 0.05
               sleep 601 & echo $! >$CGROUP/docker-{A}.scope/cgroup.procs; echo $! >/run/b
               sleep 602 & echo $! >$CGROUP/cri-containerd-{B}.scope/cgroup.procs; echo $! >/run/c
               exec tail -f /dev/null' &
             await /run/a; await /run/b; await /run/c; say $!"
        ),
    );
    let [first, second, other, tail] = island.said()[..] else {
        panic!("{:?}", island.said());
    };
    let mut scanner = Scanner::new();
    let found = scan(&island, &mut scanner);
    // The process without an id belongs to nobody.
    assert_eq!(names(&found), [&A[..12], &B[..12]]);
    let [a, b] = &found.containers[..] else {
        panic!("{found:?}");
    };
    assert_eq!((a.id.as_str(), a.runtime), (A, Runtime::Docker));
    assert_eq!((b.id.as_str(), b.runtime), (B, Runtime::Containerd));
    assert_eq!((a.process.pid(), b.process.pid()), (first, other));
    assert_eq!(inode(a), inode(b));

    // Its first process ends, and another one of the same container stands in.
    island.kill(first);
    assert_eq!(replacement(&island.procfs, a).unwrap().pid(), second);
    let after = scan(&island, &mut scanner);
    assert_eq!(names(&after), [&A[..12], &B[..12]]);
    assert_eq!(after.containers[0].process.pid(), second);
    assert!(Arc::ptr_eq(&after.containers[1], b));

    island.kill(second);
    assert!(replacement(&island.procfs, a).is_none());
    assert_eq!(names(&scan(&island, &mut scanner)), [&B[..12]]);
    island.kill(other);
    assert_eq!(names(&scan(&island, &mut scanner)), ["tail"]);
    island.kill(tail);
}

#[test]
fn an_id_names_one_container_even_where_it_has_two_namespaces() {
    let cgroup = Cgroup::new(&[&format!("docker-{A}.scope")]);
    let island = Island::start_in(
        &cgroup,
        &format!(
            "for i in 1 2; do
               unshare -n sleep 600 & say $!; echo $! >$CGROUP/docker-{A}.scope/cgroup.procs; pause
             done"
        ),
    );
    let found = scan(&island, &mut Scanner::new());
    let [main, nested] = &found.containers[..] else {
        panic!("{found:?}");
    };
    assert_eq!((main.name.as_str(), main.id.as_str()), (&A[..12], A));
    assert_eq!(nested.id, "");
    assert_eq!(nested.name, format!("{}-{}", &A[..12], inode(nested)));
    assert_eq!(nested.runtime, Runtime::Docker);
}

#[test]
fn a_zombie_is_no_process() {
    // Its parent does not wait for it.
    let island = Island::start(
        "(unshare -n true & echo $! >/run/pid; exec sleep 600) & await /run/pid; pause
         grep -q '^State:.Z' /proc/$(cat /run/pid)/status",
    );
    assert_eq!(names(&scan(&island, &mut Scanner::new())), [""; 0]);
}

#[test]
fn a_leader_that_exited_is_replaced_by_a_living_thread() {
    let test = "discovery::cgroup::tests::helper_whose_leader_exits";
    let exe = std::env::current_exe().unwrap();
    let cgroup = Cgroup::new(&[&format!("docker-{A}.scope")]);
    let island = Island::start_in(
        &cgroup,
        &format!(
            "LEADER_FILE=/run/leader unshare -n {} --exact {test} --ignored >/dev/null 2>&1 & await /run/leader
             leader=$(cat /run/leader); echo $leader >$CGROUP/docker-{A}.scope/cgroup.procs
             until grep -q '^State:.Z' /proc/$leader/status; do sleep 0.01; done",
            exe.display()
        ),
    );
    let leader = island.said()[0];
    assert!(island.procfs.netns_inode(leader).is_err());
    let mut scanner = Scanner::new();
    let found = scan(&island, &mut scanner);
    assert_eq!(names(&found), [&A[..12]]);
    let container = &found.containers[0];
    assert_eq!(container.process.pid(), leader);
    assert_ne!(inode(container), island.procfs.netns_inode(1).unwrap());
    let again = scan(&island, &mut scanner);
    assert!(Arc::ptr_eq(container, &again.containers[0]));

    // A runtime that named the leader: with and without an id, a thread is found.
    for id in [A, ""] {
        let described = Container {
            id: id.to_owned(),
            process: Arc::new(island.procfs.process(leader).unwrap()),
            ..Container::clone(container)
        };
        let thread = replacement(&island.procfs, &described).unwrap();
        assert_eq!(thread.netns_inode().unwrap(), inode(container));
    }
    island.kill(leader);
    // The harness that the helper ran in is left, and of no container.
    let left = scan(&island, &mut scanner);
    assert!(
        left.containers
            .iter()
            .all(|container| container.id.is_empty())
    );
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn helper_whose_leader_exits() {
    let Some(file) = std::env::var_os("LEADER_FILE") else {
        return;
    };
    // The harness runs tests in threads that are no leader; the forked child's only thread is.
    // SAFETY: the harness's other thread waits for this one and holds no lock meanwhile.
    if unsafe { libc::fork() } == 0 {
        std::thread::spawn(|| std::thread::sleep(Duration::from_secs(600)));
        std::fs::write(file, std::process::id().to_string()).unwrap();
        // SAFETY: it ends the calling thread alone, and nobody borrows from its stack.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn the_own_proc_is_scanned_without_an_error() {
    let procfs = crate::procfs::ProcFs::open("/proc".as_ref()).unwrap();
    let own = procfs.netns_inode(std::process::id()).unwrap();
    let mut scanner = Scanner::new();
    // Other tests come and go meanwhile.
    for _ in 0..20 {
        let found = scanner
            .scan(&procfs, own, &HashSet::new(), &HashSet::new())
            .unwrap();
        let names: HashSet<&str> = names(&found).into_iter().collect();
        assert_eq!(names.len(), found.containers.len());
    }
}
