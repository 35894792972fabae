//! Passes under full load: namespaces that come and go, thousands of connections a second on all
//! CPUs. And what is left of a container that is killed.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use container_monitor::ebpf::{Kernel, Passes};
use socket2::SockRef;
use testkit::child::Process;
use testkit::netns::Netns;
use testkit::{image, require, ss, wait};

use crate::{MISMATCH, SOON, monitor, states_in};

/// Connects and closes until told to stop; every other time by a reset, so that ports last.
fn connections(stop: &AtomicBool, made: &AtomicU64) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address: SocketAddr = listener.local_addr()?;
    let mut number = 0u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        if !number.is_multiple_of(8) {
            SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        }
        drop((client, server));
        made.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// The number of passes: `CONTAINER_MONITOR_PASSES`, or fewer.
fn passes() -> Result<u64> {
    match std::env::var("CONTAINER_MONITOR_PASSES") {
        Ok(text) => text.parse().context("CONTAINER_MONITOR_PASSES"),
        Err(_) => Ok(1_500),
    }
}

#[test]
fn passes_under_churn_make_sense() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let kernel = Kernel::read(Path::new("/sys"), true)?;
    let mut programs = Passes::load(&kernel)?;
    let schema = container_monitor::metrics::Schema::new();
    programs.enable_counters(&kernel, schema.slots())?;
    let stop = AtomicBool::new(false);
    let made = [0; 3].map(AtomicU64::new);
    let busy = (0..made.len())
        .map(|_| Netns::new("st-churn"))
        .collect::<Result<Vec<_>>>()?;
    let count = passes()?;
    std::thread::scope(|scope| {
        let workers: Vec<_> = busy
            .iter()
            .zip(&made)
            .map(|(netns, made)| scope.spawn(|| netns.enter(|| connections(&stop, made))))
            .collect();
        // Namespaces with sockets in them that come and go.
        let comings = scope.spawn(|| -> Result<u64> {
            let mut comings = 0;
            while !stop.load(Ordering::Relaxed) {
                let netns = Netns::new("st-come")?;
                let held = netns.enter(|| Ok(TcpListener::bind("127.0.0.1:80")?))?;
                drop((netns, held));
                comings += 1;
            }
            Ok(comings)
        });
        let result = wait::until("they are busy", SOON, || {
            let mut made = made.iter().map(|made| made.load(Ordering::Relaxed));
            Ok(made.all(|made| made > 10).then_some(()))
        })
        .and_then(|()| watch(&mut programs, &busy, count));
        stop.store(true, Ordering::Relaxed);
        let comings = comings
            .join()
            .unwrap_or_else(|p| std::panic::resume_unwind(p))?;
        for worker in workers {
            worker
                .join()
                .unwrap_or_else(|p| std::panic::resume_unwind(p))?;
        }
        let moved = result?;
        let made: u64 = made.iter().map(|made| made.load(Ordering::Relaxed)).sum();
        eprintln!(
            "{count} passes, {made} connections, {comings} namespaces; {moved} chains moved while \
             they were followed"
        );
        ensure!(made > 1_000 && comings > 3, "too little happened");
        Ok(())
    })
}

/// Makes passes; gives how many chains moved.
fn watch(programs: &mut Passes, busy: &[Netns], count: u64) -> Result<u64> {
    let mut moved = 0;
    for number in 0..count {
        let namespaces = programs.namespaces()?;
        let pass = programs.sockets(&namespaces.namespaces)?;
        moved += pass.trouble.moved;
        ensure!(
            pass.trouble.unsettled + pass.trouble.folded + pass.trouble.gone == 0,
            "pass {number}: {:?}",
            pass.trouble
        );
        for netns in busy {
            let mut own = pass.table.entries.iter();
            // Its listener, two ends, requests, and TIME_WAIT of one in eight.
            let own = own.find(|entry| entry.inode == netns.inode() && entry.counts.full() > 0);
            let own = own.with_context(|| format!("pass {number}: a busy one is missing"))?;
            ensure!(own.counts.full() <= 8, "pass {number}: {own:?}");
        }
        let mut keys = std::collections::HashSet::new();
        for entry in &pass.table.entries {
            ensure!(keys.insert(entry.key), "pass {number}: {entry:?} twice");
            ensure!(entry.inode > 0 && entry.counts.total() > 0, "{entry:?}");
        }
        for listener in &pass.table.listeners {
            ensure!(listener.port.is_some() && listener.length <= listener.limit + 1);
        }
    }
    Ok(moved)
}

/// The invariants hold within what moves while the files are read.
#[test]
fn the_files_agree_under_load() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let monitor = monitor("kernel", &[])?;
    let netns = Netns::new("st-busy")?;
    let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| netns.enter(|| connections(&stop, &made)));
        let mut worst = 0.0f64;
        let watched = (0..100).try_for_each(|_| -> Result<()> {
            worst = worst.max(monitor.metrics()?.value(MISMATCH, &[])?);
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        worker
            .join()
            .unwrap_or_else(|p| std::panic::resume_unwind(p))?;
        watched?;
        // One connection at a time: two ends, each perhaps in both invariants. Other tests'
        // namespaces may be as busy.
        ensure!(worst <= 40.0, "{worst} sockets");
        Ok(())
    })?;
    let log = monitor.log();
    ensure!(!log.iter().any(|line| line.contains("WARN")), "{log:#?}");
    monitor.stop()?;
    Ok(())
}

#[test]
fn nothing_is_left_of_a_killed_container() -> Result<()> {
    const HELD: usize = 10_000;
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::program("ss"));
    let monitor = monitor("kernel", &["--host-network"])?;
    let own = |name: &str| -> Result<f64> {
        monitor
            .metrics()?
            .value(&format!("container_monitor_{name}"), &[])
    };
    let fds = monitor.fd_count()?;
    let netns = Netns::new("st-killed")?;
    let mut serve = netns.command(image::workload()?)?;
    serve.args(["serve", "127.0.0.1:80", "--backlog", "4096"]);
    let server = Process::spawn(serve)?;
    let clients = netns.enter(|| {
        wait::until("it listens", SOON, || {
            Ok(TcpStream::connect("127.0.0.1:80").ok())
        })?;
        let connect = |_| Ok(TcpStream::connect("127.0.0.1:80")?);
        (0..HELD).map(connect).collect::<Result<Vec<_>>>()
    })?;
    let metrics = monitor.metrics()?;
    let seen = states_in(&metrics, &netns)?;
    ensure!(
        ss::total(&seen, "established") >= 2 * HELD as u64,
        "{seen:?}"
    );
    let most = own("tcp_states_sockets")?;
    let inode = netns.inode().to_string();
    drop((clients, server, netns));
    wait::until("nothing is left", SOON, || {
        let metrics = monitor.metrics()?;
        let rows = metrics.labelled(&[("container", "st-killed")]).len();
        let info = metrics.labelled(&[("netns", &inode)]);
        let info = info
            .iter()
            .any(|row| row.labels.get("container").map(String::as_str) == Some("st-killed"));
        let left = metrics.value("container_monitor_tcp_states_sockets", &[])?;
        // Others come and go: a test beside this one, and scrapes.
        let is_gone = rows == 0 && !info && left < most - HELD as f64;
        Ok((is_gone && monitor.fd_count()? <= fds + 5).then_some(()))
    })?;
    monitor.stop()?;
    Ok(())
}
