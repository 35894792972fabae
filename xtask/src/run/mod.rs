//! `cargo xtask run`: the daemon, built for release, in the foreground. Where it finds no
//! container, demo workloads are started for it to see.

mod options;

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use testkit::child::Process;
use testkit::demo::{self, Demo};
use testkit::metrics::Metrics;
use testkit::monitor::Monitor;
use testkit::{http, require, wait};

use crate::{cargo, signals, table};
use options::{DISCOVERY, LISTEN};

/// Where the daemon listens unless told otherwise: for this machine alone.
const ADDRESS: &str = "127.0.0.1:10042";
/// The longest that the daemon may take to start, to be ready, or to see the demo.
const PATIENCE: Duration = Duration::from_secs(20);
/// The daemon's own promise is five seconds.
const STOP: Duration = Duration::from_secs(10);
/// The first scrape comes a little after the demo's first connections.
const SETTLE: Duration = Duration::from_secs(2);

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Start no demo workloads, also where there is no container
    #[arg(long)]
    no_demo: bool,
    /// Passed on to `container-monitor serve`, which listens on 127.0.0.1:10042 unless they say
    /// otherwise
    #[arg(last = true)]
    serve: Vec<String>,
}

/// Builds, looks around, runs until Ctrl-C.
///
/// # Errors
/// When the daemon does not build, does not start, or ends with an error.
pub(crate) fn run(args: &Args) -> Result<()> {
    let exe = cargo::release_daemon()?;
    signals::hold();
    if require::root().is_err() {
        eprintln!(
            "not root: other users' containers, eBPF and demo workloads are out of reach; as root:\n  \
             sudo env \"PATH=$PATH\" \"CARGO_HOME=${{CARGO_HOME:-$HOME/.cargo}}\" \
             \"RUSTUP_HOME=${{RUSTUP_HOME:-$HOME/.rustup}}\" cargo xtask run"
        );
    }
    let mut serve = vec!["serve".to_owned()];
    serve.extend(args.serve.iter().cloned());
    if !options::names(&serve, LISTEN) && std::env::var_os(options::LISTEN_VARIABLE).is_none() {
        serve.extend([LISTEN.to_owned(), ADDRESS.to_owned()]);
    }
    let demos = if args.no_demo || require::root().is_err() || !is_empty(&exe, &serve) {
        Vec::new()
    } else {
        let demos = start_demos()?;
        // Where a runtime without a container answers, the daemon would ask that one alone.
        if !options::names(&serve, DISCOVERY) {
            serve.extend([DISCOVERY.to_owned(), "cgroup".to_owned()]);
        }
        demos
    };
    if signals::asked() {
        return Ok(());
    }
    foreground(&exe, &serve, &demos)
}

/// Whether a daemon with these arguments is known to find no container.
fn is_empty(exe: &Path, serve: &[String]) -> bool {
    match containers(exe, serve) {
        Ok(found) => found == 0,
        Err(error) => {
            if !signals::asked() {
                eprintln!("warning: cannot tell whether there are containers: {error:#}");
            }
            false
        }
    }
}

/// How many containers a daemon with these arguments finds: one that listens on a free port, so
/// that nothing but the answer is seen of it.
fn containers(exe: &Path, serve: &[String]) -> Result<usize> {
    let mut command = Command::new(exe);
    command
        .args(options::silent(serve))
        .args([LISTEN, "127.0.0.1:0"]);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(options::is_talk) {
            command.env_remove(name);
        }
    }
    let probe = Monitor::spawn(command)?;
    probe.wait_ready()?;
    let found = probe.metrics()?.series("container_network_info").len();
    probe.stop()?;
    Ok(found)
}

fn start_demos() -> Result<Vec<Demo>> {
    let own = std::env::current_exe().context("cannot find this program")?;
    eprintln!("no container here: starting demo workloads, each in a network namespace of its own");
    demo::KINDS
        .into_iter()
        .map(|kind| {
            let demo = demo::spawn(&own, kind)?;
            eprintln!("  {:<16} {}", kind.name(), kind.description());
            Ok(demo)
        })
        .collect()
}

/// Runs the daemon until it ends, which a signal makes it do.
fn foreground(exe: &Path, serve: &[String], demos: &[Demo]) -> Result<()> {
    let mut command = Command::new(exe);
    command
        .args(serve)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let mut daemon = Process::spawn(command)?;
    let stderr = daemon.child().stderr.take().context("no stderr")?;
    let places = echo(stderr);
    let looked = if options::logs_info(serve) {
        first_look(&mut daemon, &places, demos)
    } else {
        println!("no first look: at this log level the daemon does not say where it listens");
        Ok(())
    };
    match looked {
        Ok(()) => {}
        // It has said why.
        Err(_) if !daemon.is_alive()? => {}
        Err(error) => eprintln!("warning: {error:#}"),
    }
    while !signals::asked() && daemon.is_alive()? {
        std::thread::sleep(Duration::from_millis(50));
    }
    // In a terminal the daemon got the signal as well; one more changes nothing.
    daemon.terminate().ok();
    let status = daemon.wait(STOP)?;
    ensure!(status.success(), "container-monitor ended: {status}");
    Ok(())
}

/// Prints every line of the daemon's log, and sends where it listens.
fn echo(log: impl std::io::Read + Send + 'static) -> Receiver<Place> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            eprintln!("{line}");
            if let Some(place) = place(&line) {
                // Only the first one is waited for.
                send.send(place).ok();
            }
        }
    });
    receive
}

/// Where the daemon listens, and the path of its metrics.
type Place = (SocketAddr, String);

/// What a line of either log format says of where the daemon listens.
fn place(line: &str) -> Option<Place> {
    line.contains("listening").then_some(())?;
    let address = field(line, "address")?.parse().ok()?;
    Some((address, field(line, "path")?.to_owned()))
}

/// The value of `name=value` or `"name":"value"`.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    if let Some((_, value)) = line.split_once(&format!(" {name}=")) {
        return value.split(' ').next();
    }
    let (_, value) = line.split_once(&format!("\"{name}\":\""))?;
    value.split('"').next()
}

/// Prints the URL, and a table of what the daemon sees.
fn first_look(daemon: &mut Process, places: &Receiver<Place>, demos: &[Demo]) -> Result<()> {
    let (address, path) = wait::until("the daemon says where it listens", PATIENCE, || {
        let place = places.try_recv().ok();
        if place.is_none() && (signals::asked() || !daemon.is_alive()?) {
            bail!("it has ended");
        }
        Ok(place)
    })?;
    let address = reachable(address);
    wait::until("the daemon is ready", PATIENCE, || {
        ensure!(!signals::asked(), "stopped");
        Ok((http::get(address, "/readyz")?.status == 200).then_some(()))
    })?;
    if !demos.is_empty() {
        std::thread::sleep(SETTLE);
    }
    let metrics = Metrics::parse(&http::get(address, &path)?.text()?)?;
    println!("\n{}", table::render(&metrics));
    println!("metrics: http://{address}{path} (Ctrl-C ends it)\n");
    Ok(())
}

/// Where a client on this machine reaches a server on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        // Every address is that of both families, and a machine may have no `::1`.
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The hidden subcommand that a demo workload is.
///
/// # Errors
/// When there is no such demo, or it fails.
pub(crate) fn demo_workload(kind: &OsString) -> Result<()> {
    let kind = kind.to_str().context("not UTF-8")?;
    demo::run(kind.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_both_log_formats() {
        let expected = (([127, 0, 0, 1], 10042).into(), "/m".to_owned());
        for line in [
            "INFO listening address=127.0.0.1:10042 path=/m",
            r#"{"level":"INFO","message":"listening","address":"127.0.0.1:10042","path":"/m"}"#,
        ] {
            assert_eq!(place(line).as_ref(), Some(&expected), "{line}");
        }
        assert_eq!(field("a address=[::]:1", "address"), Some("[::]:1"));
        assert_eq!(place("cannot listen on address=1.2.3.4:5 path=/"), None);
        assert_eq!(
            reachable(([0, 0, 0, 0], 1).into()),
            ([127, 0, 0, 1], 1).into()
        );
    }
}
