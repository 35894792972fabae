//! Every way to load and attach the program, really loaded and attached, counts the same.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use container_monitor::ebpf::{Attachment, Kernel, LoadOptions, TransitionCounter};
use container_monitor::netns::visit;
use monitor_ebpf::{PAIRS, TcpState, UNLISTED};
use socket2::{Domain, Protocol, Socket, Type};
use testkit::netns::Netns;
use testkit::{require, tracefs, wait};

use crate::cases::{CASES, Case};
use crate::{Pair, SOON, close_to};

const SYSFS: &str = "/sys";

/// What a program counted in a namespace, whatever the cgroup.
fn counts(counter: &TransitionCounter, cookie: u64) -> Result<BTreeMap<Pair, u64>> {
    let mut counts = BTreeMap::new();
    for (key, transitions) in counter.read()? {
        if key.netns != cookie {
            continue;
        }
        let unlisted = transitions.counts[usize::from(UNLISTED)];
        ensure!(unlisted == 0, "{unlisted} transitions that no list has");
        for ((old, new), count) in PAIRS.into_iter().zip(transitions.counts) {
            if count > 0 {
                let pair = (TcpState::as_str(old), TcpState::as_str(new));
                *counts.entry(pair).or_default() += count;
            }
        }
    }
    Ok(counts)
}

fn load(cookies: bool, options: LoadOptions) -> Result<TransitionCounter> {
    let kernel = Kernel::read(Path::new(SYSFS), cookies)?;
    Ok(TransitionCounter::load(&kernel, options)?)
}

/// Plays a case in a namespace of its own.
fn play(counter: &TransitionCounter, case: &Case) -> Result<()> {
    let netns = Netns::new("eb-case")?;
    let cookie = netns.enter(|| Ok(visit::own_cookie()?))?;
    netns.enter(case.act)?;
    let expected: BTreeMap<Pair, u64> = case.expected.iter().copied().collect();
    let mut seen = BTreeMap::new();
    // The last segments may still be under way.
    let met = wait::until(case.name, SOON / 5, || {
        seen = counts(counter, cookie)?;
        let close =
            |(pair, count): (&Pair, &u64)| close_to(seen.get(pair).copied().unwrap_or(0), *count);
        Ok(expected.iter().all(close).then_some(()))
    });
    met.with_context(|| format!("seen {seen:?}, expected {expected:?}"))?;
    let other = seen.keys().find(|pair| !expected.contains_key(*pair));
    ensure!(other.is_none(), "{}: {seen:?}", case.name);
    Ok(())
}

fn play_all(options: LoadOptions, attachment: Attachment) -> Result<()> {
    let counter = load(true, options)?;
    ensure!(counter.attachment() == attachment);
    ensure!(
        counter.has_cookie(),
        "namespaces are known by their cookies"
    );
    for case in CASES {
        play(&counter, case)?;
    }
    ensure!(counter.missed().is_some(), "the kernel counts missed runs");
    Ok(())
}

#[test]
fn typed_raw_tracepoint() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let options = LoadOptions::default();
    ensure!(options.warnings, "this kernel has a ring buffer");
    play_all(options, Attachment::TpBtf)
}

#[test]
fn plain_tracepoint() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let options = LoadOptions {
        attachments: &[Attachment::Tracepoint],
        ..LoadOptions::default()
    };
    tracefs::with_tracefs(|| play_all(options, Attachment::Tracepoint))
}

#[test]
fn plain_tracepoint_says_what_it_lacks() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let sysfs = tempfile::tempdir()?;
    let btf = sysfs.path().join("kernel/btf");
    std::fs::create_dir_all(&btf)?;
    std::fs::copy("/sys/kernel/btf/vmlinux", btf.join("vmlinux"))?;
    let options = LoadOptions {
        attachments: &[Attachment::Tracepoint],
        ..LoadOptions::default()
    };
    let error = TransitionCounter::load(&Kernel::read(sysfs.path(), true)?, options);
    let error = error.err().context("it loads without tracefs")?.to_string();
    ensure!(error.contains("tracefs is not mounted"), "{error}");
    Ok(())
}

#[test]
fn object_without_warnings() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let options = LoadOptions {
        warnings: false,
        ..LoadOptions::default()
    };
    let mut counter = load(true, options)?;
    ensure!(counter.take_logger().is_none(), "it has a ring buffer");
    for case in CASES {
        play(&counter, case)?;
    }
    Ok(())
}

/// Where user space can ask for no cookie, the program must not count by it.
#[test]
fn by_inode_number() -> Result<()> {
    testkit::require!(require::root(), require::bpf(), require::btf());
    let counter = load(false, LoadOptions::default())?;
    ensure!(!counter.has_cookie());
    let netns = Netns::new("eb-inode")?;
    netns.enter(|| testkit::workload::connect_to_self("[::1]:80".parse()?, 50))?;
    let seen = counts(&counter, netns.inode())?;
    let opened = seen.get(&("close", "syn_sent")).copied().unwrap_or(0);
    ensure!(close_to(opened, 50), "{seen:?}");
    Ok(())
}

/// An MPTCP socket shows its own states at the tracepoint too; only its subflows are TCP.
#[test]
fn subflows_of_mptcp_alone() -> Result<()> {
    const COUNT: u64 = 100;
    testkit::require!(require::root(), require::bpf(), require::btf());
    testkit::require!(require::path("/proc/sys/net/mptcp/enabled"));
    let counter = load(true, LoadOptions::default())?;
    let netns = Netns::new("eb-mptcp")?;
    let cookie = netns.enter(|| Ok(visit::own_cookie()?))?;
    netns.enter(|| {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP));
        let address: SocketAddr = "127.0.0.1:80".parse()?;
        let listener = socket()?;
        listener.bind(&address.into())?;
        listener.listen(128)?;
        for _ in 0..COUNT {
            let client = socket()?;
            client.connect(&address.into())?;
            drop((client, listener.accept()?));
        }
        Ok(())
    })?;
    let seen = counts(&counter, cookie)?;
    for (pair, count) in [
        (("close", "listen"), 1),
        (("close", "syn_sent"), COUNT),
        (("syn_sent", "established"), COUNT),
        (("listen", "syn_recv"), COUNT),
    ] {
        let seen = seen.get(&pair).copied().unwrap_or(0);
        ensure!(
            close_to(seen, count),
            "{pair:?} is {seen}, expected {count}"
        );
    }
    Ok(())
}
