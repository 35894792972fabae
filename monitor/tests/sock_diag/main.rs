//! Counting TCP sockets over sock_diag, in real network namespaces: `ss` is the judge of states
//! and accept queues, the kernel's own count of full sockets (`inuse` of sockstat) the judge of
//! what is no full socket.

mod namespaces;
mod scene;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use container_monitor::procfs::{ProcFs, Process};
use container_monitor::tcp::sock_diag::{Dump, Outcome, Target, dump};
use container_monitor::tcp::{Entry, STATES, StateCounts};
use monitor_ebpf::Family;
use testkit::netns::Netns;
use testkit::{require, ss, wait};

use scene::Scene;

/// How long something may take that is the kernel's or a child's to do.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const BOTH: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// A number that no namespace has: keys are the caller's.
pub(crate) const KEY: u64 = 1 << 63;

/// A guard on the process that holds a namespace.
pub(crate) fn process(netns: &Netns) -> Result<Process> {
    Ok(ProcFs::open(Path::new("/proc"))?.process(netns.pid())?)
}

pub(crate) fn dump_one(netns: &Netns) -> Result<Dump> {
    let process = process(netns)?;
    let dump = dump(&[Target {
        netns: KEY,
        inode: netns.inode(),
        process: &process,
    }]);
    let [Outcome::Counted] = dump.outcomes[..] else {
        bail!("{:?}", dump.outcomes);
    };
    Ok(dump)
}

pub(crate) fn sum<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> StateCounts {
    let mut sum = StateCounts::default();
    for entry in entries {
        sum += &entry.counts;
    }
    sum
}

/// Counts in the form that `ss` gives them.
fn states(counts: &StateCounts) -> ss::States {
    let mut states = ss::States::new();
    for family in Family::ALL {
        for state in STATES {
            let count = counts.get(family, state);
            if count > 0 {
                states.insert((family.as_str(), state.as_str()), count);
            }
        }
    }
    states
}

/// Length and limit of accept queues, by port and family.
type Queues = BTreeMap<(u16, &'static str), (u64, u64)>;

fn queues(listeners: impl IntoIterator<Item = ss::Listener>) -> Queues {
    let mut queues = Queues::new();
    for (port, family, length, limit) in listeners {
        let queue = queues.entry((port, family)).or_default();
        *queue = (queue.0 + length, queue.1 + limit);
    }
    queues
}

/// `inuse` of a line of sockstat or sockstat6.
fn in_use(netns: &Netns, file: &str, line: &str) -> Result<u64> {
    let text = netns.read(file)?;
    let mut lines = text.lines().filter_map(|text| text.strip_prefix(line));
    let number = lines.next().and_then(|rest| rest.split(' ').next());
    number
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("no {line} in {text}"))
}

/// Demands that a namespace has these sockets, by `ss`, by the kernel's own counts and by ours.
fn expect(netns: &Netns, expected: &ss::States) -> Result<StateCounts> {
    // FINs and their acknowledgements are on their way for a moment.
    wait::until("the sockets are what they should be", SOON, || {
        let found = ss::states(netns.pid())?;
        Ok((found == *expected).then_some(()))
    })
    .with_context(|| format!("{:?}", ss::states(netns.pid())))?;
    let dump = dump_one(netns)?;
    let counts = sum(&dump.table.entries);
    ensure!(states(&counts) == *expected, "{:?}", states(&counts));
    ensure!(states(&counts) == ss::states(netns.pid())?);
    ensure!(
        counts.total() == expected.values().sum::<u64>(),
        "{counts:?}"
    );
    let full = in_use(netns, "net/sockstat", "TCP: inuse ")?
        + in_use(netns, "net/sockstat6", "TCP6: inuse ")?;
    ensure!(counts.full() == full, "{} of {full}", counts.full());

    let ours = dump.table.listeners.iter().map(|listener| {
        let port = listener.port.unwrap_or(0);
        let family = listener.family.as_str();
        (port, family, listener.length, listener.limit)
    });
    let (ours, theirs) = (queues(ours), queues(ss::listeners(netns.pid())?));
    ensure!(ours == theirs, "{ours:?}, and by ss {theirs:?}");

    let entries = dump.table.entries.iter();
    ensure!(
        entries
            .clone()
            .all(|e| e.key.netns == KEY && e.inode == netns.inode())
    );
    let listeners = dump.table.listeners.iter();
    ensure!(
        listeners
            .clone()
            .all(|l| l.key.netns == KEY && l.inode == netns.inode())
    );
    let ours: u64 = entries.clone().map(|entry| entry.counts.total()).sum();
    ensure!(ours == counts.total());
    Ok(counts)
}

/// What [`Scene::play`] leaves when servers and clients are of these families.
fn played(server: &'static str, client: &'static str) -> ss::States {
    let mut states = ss::States::new();
    for (family, state, count) in [
        (server, "listen", 5),
        (server, "established", 5),
        (client, "established", 5),
        (server, "fin_wait2", 1),
        (client, "fin_wait2", 2),
        (server, "close_wait", 2),
        (client, "last_ack", 1),
        (client, "fin_wait1", 1),
        (client, "time_wait", 1),
        (client, "syn_sent", 1),
        (server, "syn_recv", 1),
    ] {
        *states.entry((family, state)).or_default() += count;
    }
    states
}

/// Plays a scene and compares; says how many entries there are of each kind that is no full
/// socket: TIME_WAIT, FIN_WAIT2 and requests.
fn compare(name: &str, listen: IpAddr, address: IpAddr) -> Result<()> {
    let netns = Netns::new(name)?;
    let mut scene = Scene::default();
    netns.enter(|| scene.play(listen, address, 1000))?;
    let name = |ip: IpAddr| if ip.is_ipv4() { "ipv4" } else { "ipv6" };
    let counts = expect(&netns, &played(name(listen), name(address)))?;
    // TIME_WAIT, one of the three in FIN_WAIT2, and the request.
    ensure!(counts.total() - counts.full() == 3);
    drop(scene);
    Ok(())
}

#[test]
fn ipv4_is_what_ss_says() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    compare("sd-v4", V4, V4)
}

#[test]
fn ipv6_is_what_ss_says() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    compare("sd-v6", V6, V6)
}

#[test]
fn ipv4_at_sockets_of_ipv6_is_what_ss_says() -> Result<()> {
    testkit::require!(require::root(), require::program("ss"));
    compare("sd-mapped", BOTH, V4)
}

#[test]
fn many_sockets_take_several_datagrams() -> Result<()> {
    // Some 120 bytes each: 100 KiB.
    const COUNT: usize = 200;
    testkit::require!(require::root(), require::program("ss"));
    let netns = Netns::new("sd-many")?;
    let mut scene = Scene::default();
    netns.enter(|| {
        scene.crowd((V4, 1000).into(), COUNT)?;
        scene.crowd((V6, 1000).into(), COUNT)
    })?;
    let both = 2 * COUNT as u64;
    let expected = ss::States::from([
        (("ipv4", "listen"), 1),
        (("ipv6", "listen"), 1),
        (("ipv4", "established"), both),
        (("ipv6", "established"), both),
    ]);
    expect(&netns, &expected)?;
    drop(scene);
    Ok(())
}
