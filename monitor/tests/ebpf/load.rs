//! Every way to load and attach the program, really loaded and attached, counts the same.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use container_monitor::ebpf::{Attachment, Kernel, LoadOptions, TransitionCounter};
use container_monitor::netns::visit;
use monitor_ebpf::{PAIRS, TcpState, UNLISTED};
use testkit::netns::Netns;
use testkit::peer::Family;
use testkit::transitions::{CASES, Case, Counts};
use testkit::{require, tracefs, wait};

use crate::{SOON, close_to, slack};

const SYSFS: &str = "/sys";
/// How often a case is played.
const COUNT: u64 = 200;

/// What a program counted in a namespace, whatever the cgroup.
fn counts(counter: &TransitionCounter, cookie: u64) -> Result<Counts> {
    let mut counts = Counts::new();
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

/// Plays a case until it is counted as it should be, three times at most: what times out does so
/// at once, and is lost at once where the machine loses events.
fn play(counter: &TransitionCounter, case: &Case, family: Family) -> Result<()> {
    let played = || play_once(counter, case, family);
    let retry = |error| {
        eprintln!("{error:#}");
        played()
    };
    played().or_else(retry).or_else(retry)
}

/// Plays a case in a namespace of its own.
fn play_once(counter: &TransitionCounter, case: &Case, family: Family) -> Result<()> {
    let netns = Netns::new("eb-case")?;
    if !require::met(&[netns.enter(|| Ok(case.needs(family)))?]) {
        return Ok(());
    }
    let cookie = netns.enter(|| Ok(visit::own_cookie()?))?;
    netns.enter(|| case.play(family, COUNT))?;
    // The kernel may have handed the last segments to a thread of its own.
    let mut last = Ok(());
    let met = wait::until(case.name, SOON / 5, || {
        last = case.check(&[COUNT], &counts(counter, cookie)?, slack);
        Ok(last.is_ok().then_some(()))
    });
    last.and(met).with_context(|| format!("over {family:?}"))
}

/// Plays all cases in all families.
fn play_each(counter: &TransitionCounter) -> Result<()> {
    let plays = |case| {
        Family::ALL
            .into_iter()
            .try_for_each(|family| play(counter, case, family))
    };
    CASES.iter().try_for_each(plays)
}

fn play_all(options: LoadOptions, attachment: Attachment) -> Result<()> {
    let counter = load(true, options)?;
    ensure!(counter.attachment() == attachment);
    ensure!(
        counter.has_cookie(),
        "namespaces are known by their cookies"
    );
    play_each(&counter)?;
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
    play_each(&counter)?;
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
