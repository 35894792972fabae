//! `cargo xtask run`: the daemon, built for release, in the foreground. Where it finds no
//! container, demo workloads are started for it to see.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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

/// The options that say where the daemon listens.
const LISTEN: &str = "--web.listen-address";
/// The option that says where it looks for containers.
const DISCOVERY: &str = "--discovery";
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
    /// Passed on to `container-monitor serve`
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
            "not root: other users' containers, eBPF and demo workloads are out of reach (as root: \
             sudo --preserve-env=PATH,CARGO_HOME,RUSTUP_HOME cargo xtask run)"
        );
    }
    let mut serve = vec!["serve".to_owned()];
    serve.extend(args.serve.iter().cloned());
    let demos = if args.no_demo || require::root().is_err() || containers(&exe, &serve)? > 0 {
        Vec::new()
    } else {
        let demos = start_demos()?;
        // Where a runtime without a container answers, the daemon would ask that one alone.
        if !names_option(&serve, DISCOVERY) {
            serve.extend([DISCOVERY.to_owned(), "cgroup".to_owned()]);
        }
        demos
    };
    if signals::asked() {
        return Ok(());
    }
    foreground(&exe, &serve, &demos)
}

/// How many containers a daemon with these arguments finds: one that listens on a free port, so
/// that nothing but the answer is seen of it.
fn containers(exe: &Path, serve: &[String]) -> Result<usize> {
    let arguments = without_option(serve, LISTEN);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let probe = Monitor::start(exe, &arguments)?;
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
    let addresses = echo(stderr);
    match first_look(&mut daemon, &addresses, demos) {
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

/// Prints every line of the daemon's log, and sends the addresses that it listens on.
fn echo(log: impl std::io::Read + Send + 'static) -> Receiver<SocketAddr> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            eprintln!("{line}");
            if let Some(address) = address(&line) {
                // Only the first one is waited for.
                send.send(address).ok();
            }
        }
    });
    receive
}

/// The address in a line of either log format that says where the daemon listens.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("address")?;
    let value = rest.trim_start_matches(['"', '=', ':']);
    let end = value.find(['"', ' ', ',']).unwrap_or(value.len());
    value.get(..end)?.parse().ok()
}

/// Prints the URL, and a table of what the daemon sees.
fn first_look(
    daemon: &mut Process,
    addresses: &Receiver<SocketAddr>,
    demos: &[Demo],
) -> Result<()> {
    let address = wait::until("the daemon says where it listens", PATIENCE, || {
        let address = addresses.try_recv().ok();
        if address.is_none() && (signals::asked() || !daemon.is_alive()?) {
            bail!("it has ended");
        }
        Ok(address)
    })?;
    let address = reachable(address);
    wait::until("the daemon is ready", PATIENCE, || {
        ensure!(!signals::asked(), "stopped");
        Ok((http::get(address, "/readyz")?.status == 200).then_some(()))
    })?;
    if !demos.is_empty() {
        std::thread::sleep(SETTLE);
    }
    let metrics = Metrics::parse(&http::get(address, "/metrics")?.text()?)?;
    println!("\n{}", table::render(&metrics));
    println!("metrics: http://{address}/metrics (Ctrl-C ends it)\n");
    Ok(())
}

/// Where a client on this machine reaches a server on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whether `--name value` or `--name=value` is among the arguments.
fn names_option(arguments: &[String], name: &str) -> bool {
    without_option(arguments, name).len() < arguments.len()
}

/// The arguments without `--name value` and `--name=value`.
fn without_option(arguments: &[String], name: &str) -> Vec<String> {
    let mut kept = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == name {
            arguments.next();
        } else if !argument
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('='))
        {
            kept.push(argument.clone());
        }
    }
    kept
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

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn addresses_are_read_from_both_log_formats() {
        for line in [
            "INFO listening address=127.0.0.1:10042 path=/metrics",
            r#"{"level":"INFO","message":"listening","address":"127.0.0.1:10042"}"#,
        ] {
            assert_eq!(address(line), "127.0.0.1:10042".parse().ok(), "{line}");
        }
        assert_eq!(address("address=[::]:1"), "[::]:1".parse().ok());
        assert_eq!(address("cannot listen on address 1.2.3.4"), None);
        assert_eq!(
            reachable(([0, 0, 0, 0], 1).into()),
            ([127, 0, 0, 1], 1).into()
        );
    }

    #[test]
    fn options_are_taken_out() {
        let all = strings(&[
            "serve",
            LISTEN,
            "a",
            "--discoveryx=1",
            "--web.listen-address=b",
        ]);
        assert_eq!(without_option(&all, LISTEN), ["serve", "--discoveryx=1"]);
        assert!(names_option(&all, LISTEN) && !names_option(&all, DISCOVERY));
        assert!(names_option(
            &strings(&["--discovery", "cgroup"]),
            DISCOVERY
        ));
    }
}
