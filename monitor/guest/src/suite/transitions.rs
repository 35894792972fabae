//! Every case of transitions, in two containers, seen by every way to count them.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use container_monitor::ebpf::{Attachment, EbpfError, Kernel, LoadOptions, TransitionCounter};
use container_monitor::netns::visit;
use guest::{ATTACHED, NAMESPACES_BY, TP_BTF, TRACEPOINT, TRANSITIONS, WARNINGS};
use monitor_ebpf::{PAIRS, TcpState, UNLISTED};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::peer::Family;
use testkit::transitions::{CASES, Case, Counts};

use super::container::{Container, command_in};
use super::daemon::{self, SOON};
use super::rare;
use super::report::{Absent, Report};

/// The argument that makes this program play a case.
pub(crate) const PLAY: &str = "play";

/// What the daemon publishes them as.
pub(crate) const FAMILY: &str = "container_network_tcp_transitions_total";

/// How often each case happens in the one container and in the other: what one did must not be
/// taken for the other's.
const COUNTS: [u64; 2] = [3, 5];

/// What the process that plays says of a case that this kernel cannot play.
const UNMET: &str = "needs ";

/// Plays a case in every family, in the process that this program was started as for that, and
/// says how often.
pub(crate) fn play(name: &str, count: u64) -> Result<()> {
    let case = CASES.iter().find(|case| case.name == name);
    let case = case.with_context(|| format!("no case {name:?}"))?;
    for family in Family::ALL {
        if let Err(unmet) = case.needs(family) {
            println!("{UNMET}{}", unmet.0);
            continue;
        }
        case.play(family, count)?;
        println!("{count}");
    }
    Ok(())
}

/// Demands the transitions that must follow, and no others.
type Check = Box<dyn Fn(&Counts) -> Result<()>>;

/// Something that happened in a container.
struct Played {
    name: &'static str,
    container: Container,
    /// Whether it was done by processes of the container's cgroup.
    in_cgroup: bool,
    check: Check,
}

/// Plays all cases, and says how each way has counted them.
pub(crate) fn check_all(report: &Report) {
    let ways = [
        (
            TP_BTF,
            load(Attachment::TpBtf, LoadOptions::default().warnings),
        ),
        (TRACEPOINT, load(Attachment::Tracepoint, false)),
    ];
    let monitor = daemon::start(&[]);
    let played = play_all();
    for (check, counter) in &ways {
        report.check(*check, || {
            let counter = counter.as_ref().map_err(|error| anyhow!("{error}"))?;
            judge(&played, |all| counted(counter, all))
                .with_context(|| format!("{:?} events missed", counter.missed()))
        });
    }
    report.check(WARNINGS, || match LoadOptions::default().warnings {
        true => {
            let mut counter = load(Attachment::TpBtf, true)?;
            drop(counter.take_logger().context("it has no ring buffer")?);
            Ok("aya-log".to_owned())
        }
        false => Err(Absent("no ring buffer".to_owned()).into()),
    });
    report.check(TRANSITIONS, || {
        let monitor = monitor.as_ref().map_err(|error| anyhow!("{error:#}"))?;
        judge(&played, |all| {
            let metrics = monitor.metrics()?;
            all.iter()
                .map(|one| published(&metrics, one.container.name()))
                .collect()
        })
    });
    for (check, word) in [(ATTACHED, "attachment"), (NAMESPACES_BY, "namespaces_by")] {
        report.check(check, || {
            let monitor = monitor.as_ref().map_err(|error| anyhow!("{error:#}"))?;
            said(monitor, word)
        });
    }
    if let Ok(monitor) = monitor {
        monitor.stop().ok();
    }
}

fn load(attachment: Attachment, warnings: bool) -> Result<TransitionCounter, EbpfError> {
    let attachments = match attachment {
        Attachment::TpBtf => &[Attachment::TpBtf][..],
        Attachment::Tracepoint => &[Attachment::Tracepoint],
    };
    let kernel = Kernel::read(Path::new("/sys"), visit::own_cookie().is_ok())?;
    let options = LoadOptions {
        attachments,
        warnings,
    };
    TransitionCounter::load(&kernel, options)
}

fn play_all() -> Result<Vec<Played>> {
    let mut played = Vec::new();
    for case in CASES {
        for count in COUNTS {
            let container = Container::new()?;
            let arguments = [PLAY, case.name, &count.to_string()];
            let said = container
                .run(&arguments)
                .with_context(|| case.name.to_owned())?;
            let counts: Vec<u64> = said.lines().filter_map(|line| line.parse().ok()).collect();
            if counts.is_empty() {
                eprintln!("{}: {}", case.name, said.trim());
                continue;
            }
            played.push(of_case(case, container, counts));
        }
    }
    for (name, act) in rare::ALL {
        for count in COUNTS {
            let container = Container::new()?;
            let expected = act(&container.netns, count).with_context(|| name.to_owned())?;
            let check = move |seen: &Counts| {
                ensure!(*seen == expected, "seen {seen:?}, expected {expected:?}");
                Ok(())
            };
            played.push(Played {
                name,
                container,
                in_cgroup: false,
                check: Box::new(check),
            });
        }
    }
    Ok(played)
}

fn of_case(case: &'static Case, container: Container, counts: Vec<u64>) -> Played {
    Played {
        name: case.name,
        container,
        in_cgroup: true,
        check: Box::new(move |seen| case.check(&counts, seen, |_| 0)),
    }
}

/// Demands that all that was played was counted, and nothing else. The last segments may still be
/// under way, and nothing may come later.
fn judge(
    played: &Result<Vec<Played>>,
    read: impl Fn(&[Played]) -> Result<Vec<Counts>>,
) -> Result<String> {
    let played = played.as_ref().map_err(|error| anyhow!("{error:#}"))?;
    let start = Instant::now();
    let mut content = 0;
    loop {
        let seen = read(played)?;
        let wrong = played.iter().zip(&seen).find_map(|(one, seen)| {
            let error = (one.check)(seen).err()?;
            Some(error.context(one.name))
        });
        match wrong {
            None if content == 1 => break,
            None => content += 1,
            Some(error) if start.elapsed() > SOON / 2 => return Err(error),
            Some(_) => content = 0,
        }
        std::thread::sleep(PAUSE);
    }
    Ok(format!("exact ({})", played.len() / COUNTS.len()))
}

/// Between two looks at what was counted.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// What the program counted in each container's namespace; it must all be in the container's
/// cgroup, where it happened there.
fn counted(counter: &TransitionCounter, played: &[Played]) -> Result<Vec<Counts>> {
    let entries = counter.read()?;
    let counts_of = |one: &Played| {
        let netns = &one.container.netns;
        let namespace = if counter.has_cookie() {
            netns.enter(|| Ok(visit::own_cookie()?))?
        } else {
            netns.inode()
        };
        let folder = if one.in_cgroup {
            one.container.cgroup.path()
        } else {
            Path::new(super::mounts::CGROUPS)
        };
        let cgroup = std::fs::metadata(folder)?.ino();
        let mut counts = Counts::new();
        for (key, transitions) in entries.iter().filter(|(key, _)| key.netns == namespace) {
            ensure!(
                (key.cgroup, transitions.inode) == (cgroup, netns.inode()),
                "{}: cgroup {}, not {cgroup}; namespace {}, not {}",
                one.name,
                key.cgroup,
                transitions.inode,
                netns.inode()
            );
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
    };
    played.iter().map(counts_of).collect()
}

/// What the daemon has published of a container.
fn published(metrics: &Metrics, container: &str) -> Result<Counts> {
    let mut counts = Counts::new();
    for row in metrics.matching(FAMILY, &[("container", container)]) {
        if row.value == 0.0 {
            continue;
        }
        let label = |name| row.labels.get(name).context("a label is missing");
        let pair = (state(label("old_state")?)?, state(label("new_state")?)?);
        counts.insert(pair, row.value as u64);
    }
    Ok(counts)
}

/// The state of this name.
fn state(name: &str) -> Result<&'static str> {
    let mut states = PAIRS.into_iter().flat_map(|(old, new)| [old, new]);
    let state = states.find(|state| TcpState::as_str(*state) == name);
    Ok(state
        .with_context(|| format!("no state {name:?}"))?
        .as_str())
}

/// Waits until the daemon has published so many connections that a container opened.
pub(crate) fn opened(monitor: &Monitor, container: &str, count: u64) -> Result<()> {
    let opened = (("close", "syn_sent"), count);
    monitor.metrics_when(SOON / 2, |metrics| {
        let seen = published(metrics, container)?;
        ensure!(
            seen.get(&opened.0) == Some(&opened.1),
            "{seen:?}, expected {opened:?}"
        );
        Ok(())
    })?;
    Ok(())
}

/// A word that the daemon says of the attached program.
fn said(monitor: &Monitor, name: &str) -> Result<String> {
    let log = monitor.log();
    let line = log
        .iter()
        .find(|line| line.contains("eBPF program attached"));
    let line = line.with_context(|| format!("no program is attached: {log:?}"))?;
    let value = line.split_once(&format!("{name}="));
    let value = value.and_then(|(_, rest)| rest.split_whitespace().next());
    Ok(value
        .with_context(|| line.clone())?
        .trim_matches('"')
        .to_owned())
}

/// Two containers in one namespace: each has its own.
pub(crate) fn by_cgroup() -> Result<String> {
    let owner = Container::new()?;
    let sidecar = testkit::cgroup::Cgroup::docker()?;
    let mut holder = command_in(Some(&owner.netns), &sidecar, &[crate::SLEEP])?;
    holder.stdin(std::process::Stdio::null());
    let holder = testkit::child::Process::spawn(holder)?;
    let monitor = daemon::start(&[])?;
    let case = CASES.first().context("no case")?;
    let names = [owner.name(), sidecar.short_id()];
    for (cgroup, count) in [&owner.cgroup, &sidecar].into_iter().zip(COUNTS) {
        let arguments = [PLAY, case.name, &count.to_string()];
        testkit::child::output_within(command_in(Some(&owner.netns), cgroup, &arguments)?, SOON)?;
    }
    monitor.metrics_when(SOON / 2, |metrics| {
        for (name, count) in names.into_iter().zip(COUNTS) {
            let seen = published(metrics, name)?;
            case.check(&[count; Family::ALL.len()], &seen, |_| 0)
                .with_context(|| name.to_owned())?;
        }
        Ok(())
    })?;
    drop(holder);
    monitor.stop()?;
    Ok("exact".to_owned())
}
