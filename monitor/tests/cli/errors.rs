//! What is refused: the exit code, and one line that names the flag and the way out.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use testkit::child::{find_program, finish};
use testkit::require;

use crate::{EXE, QUICK, SOON, command, run, said};

/// Arguments, and what stands in the one line that is said.
const WRONG: &[(&[&str], &[&str])] = &[
    (
        &["--web.listen-address=nonsense"],
        &["--web.listen-address nonsense", "HOST:PORT"],
    ),
    (
        &["--web.listen-address=127.0.0.1:99999"],
        &["--web.listen-address 127.0.0.1:99999"],
    ),
    (
        &["--web.listen-address=127.0.0.1:0,x"],
        &["--web.listen-address x"],
    ),
    (
        &["--web.telemetry-path=metrics"],
        &["--web.telemetry-path metrics", "slash"],
    ),
    (
        &["--web.telemetry-path=/healthz"],
        &["--web.telemetry-path /healthz", "taken"],
    ),
    (
        &["--web.telemetry-path=/"],
        &["--web.telemetry-path /:", "taken"],
    ),
    (
        &["--web.telemetry-path=/{a}"],
        &["--web.telemetry-path /{a}", "letters"],
    ),
    (
        &["--falcon.url=https://127.0.0.1:1988/"],
        &["--falcon.url https://127.0.0.1:1988/", "http://"],
    ),
    (&["--falcon.interval=soon"], &["--falcon.interval", "soon"]),
    (
        &["--falcon.endpoint=a,b"],
        &["--falcon.endpoint", "a,b", "commas"],
    ),
    (&["--falcon.metrics=("], &["--falcon.metrics"]),
    (
        &["--otlp.endpoint=collector:4317"],
        &["--otlp.endpoint collector:4317", "http://"],
    ),
    (
        &["--otlp.headers=secret"],
        &["--otlp.headers", "NAME=VALUE"],
    ),
    (
        &["--discovery=auto,cgroup"],
        &["--discovery", "auto", "alone"],
    ),
    (
        &["--discovery=docker", "--docker.endpoint=ftp://x"],
        &["--docker.endpoint", "ftp", "unix://"],
    ),
    (
        &["--docker.endpoint=unix://"],
        &["--docker.endpoint", "unix:///path"],
    ),
    (
        &["--discovery=cri", "--cri.endpoint=tcp://127.0.0.1:1"],
        &["--cri.endpoint", "tcp://127.0.0.1:1", "unix:///"],
    ),
    (
        &["--cri.endpoint=/a.sock,b.sock"],
        &["--cri.endpoint", "b.sock", "unix:///"],
    ),
    (
        &["--collector.netstat.fields=("],
        &["--collector.netstat.fields", "group"],
    ),
    (
        &["--container-include=web"],
        &[
            "--container-include web",
            "no label \"web\"",
            "namespace, pod",
        ],
    ),
    (
        &["--container-exclude=pod=a;namespace=~("],
        &["--container-exclude namespace=~(", "group"],
    ),
    (
        &["--container-exclude=image"],
        &["--container-exclude image", "=~"],
    ),
    (
        &["--require-ebpf", "--no-collector.transitions"],
        &["--require-ebpf", "--no-collector.transitions"],
    ),
    (
        &[
            "--no-collector.sockstat",
            "--no-collector.sockstat6",
            "--no-collector.snmp",
            "--no-collector.snmp6",
            "--no-collector.netstat",
            "--no-collector.transitions",
            "--no-collector.filesystem",
            "--no-collector.writable-layer",
            "--no-collector.disk-io",
            "--collector.tcp-states=off",
        ],
        &[
            "--no-collector.NAME",
            "--collector.tcp-states",
            "leave one on",
        ],
    ),
    // These are clap's own words, on one line.
    (
        &["--collector.tcp-states=ss"],
        &["--collector.tcp-states", "'ss'", "sock_diag"],
    ),
    (
        &["--collector.tcp-states.min-interval=soon"],
        &["--collector.tcp-states.min-interval", "'soon'"],
    ),
    (
        &["--collector.counters=files"],
        &["--collector.counters", "'files'", "proc"],
    ),
    (
        &["--min-container-age=old"],
        &["--min-container-age", "'old'"],
    ),
    (&["--limit.containers=-1"], &["--limit.containers", "'-1'"]),
    (&["--limit.series=many"], &["--limit.series", "'many'"]),
    (&["--discovery=podman"], &["--discovery", "'podman'"]),
    (&["--log.level=loud"], &["--log.level", "'loud'"]),
    (&["--log.format=xml"], &["--log.format", "'xml'"]),
    (
        &["--collector.snmp=maybe"],
        &["--collector.snmp", "'maybe'", "boolean"],
    ),
    (
        &["--web.listen-adress=:1"],
        &["--web.listen-adress", "tip", "--web.listen-address"],
    ),
    (&["--no-such-flag"], &["--no-such-flag"]),
    (&["extra"], &["'extra'"]),
];

fn refused(mut command: Command, words: &[&str]) -> Result<()> {
    // A port that it must not open, and would say so if it did.
    command.args(["--web.listen-address", "127.0.0.1:0"]);
    let what = format!("{command:?}");
    let output = finish(command, SOON)?;
    let said = said(&output);
    ensure!(
        output.status.code() == Some(2),
        "{what}: {:?} {said:?}",
        output.status
    );
    ensure!(output.stdout.is_empty(), "{what} writes to standard output");
    ensure!(said.len() == 1, "{what}: {said:#?}");
    ensure!(said[0].starts_with("error: "), "{what}: {said:?}");
    for word in words {
        ensure!(said[0].contains(word), "{what}: no {word:?} in {said:?}");
    }
    Ok(())
}

#[test]
fn wrong_flags_are_named() -> Result<()> {
    for (args, words) in WRONG {
        refused(command(&[&["serve"], *args].concat()), words)?;
    }
    Ok(())
}

#[test]
fn wrong_variables_are_named() -> Result<()> {
    for (variable, value, words) in [
        (
            "CONTAINER_MONITOR_WEB_TELEMETRY_PATH",
            "x",
            ["--web.telemetry-path", "slash"],
        ),
        (
            "CONTAINER_MONITOR_LOG_LEVEL",
            "loud",
            ["--log.level", "'loud'"],
        ),
        (
            "CONTAINER_MONITOR_COLLECTOR_SNMP",
            "maybe",
            ["--collector.snmp", "'maybe'"],
        ),
        ("DOCKER_HOST", "ssh://host", ["DOCKER_HOST", "ssh"]),
    ] {
        let mut command = command(&["serve"]);
        command.env(variable, value);
        refused(command, &words)?;
    }
    Ok(())
}

#[test]
fn no_command_shows_what_there_is() -> Result<()> {
    let output = run(&[])?;
    let said = said(&output).join("\n");
    ensure!(output.status.code() == Some(2), "{:?}", output.status);
    ensure!(said.contains("serve") && said.contains("Usage"), "{said}");
    Ok(())
}

/// Demands exit code 1 and one line, an error in the log that has all of `words`.
fn fails(command: Command, words: &[&str]) -> Result<()> {
    let what = format!("{command:?}");
    let output = finish(command, SOON)?;
    let said = said(&output);
    ensure!(
        output.status.code() == Some(1),
        "{what}: {:?} {said:?}",
        output.status
    );
    ensure!(
        said.len() == 1 && said[0].contains(" ERROR "),
        "{what}: {said:#?}"
    );
    for word in words {
        ensure!(said[0].contains(word), "{what}: no {word:?} in {said:?}");
    }
    Ok(())
}

#[test]
fn a_taken_port() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let args = ["serve", "--web.listen-address", &address];
    let words = [
        &*address,
        "in use",
        "another port with --web.listen-address",
    ];
    fails(command(&args), &words)?;
    // Also when another one is free: no half of what was asked for.
    let both = format!("127.0.0.1:0,{address}");
    fails(command(&["serve", "--web.listen-address", &both]), &words)
}

#[test]
fn an_address_of_another_machine() -> Result<()> {
    let args = ["serve", "--web.listen-address", "192.0.2.1:10042"];
    fails(command(&args), &["192.0.2.1:10042", "no interface"])
}

#[test]
fn no_proc() -> Result<()> {
    let empty = tempfile::tempdir()?;
    let path = empty.path().to_string_lossy().into_owned();
    let with_procfs = |path: &str| {
        let mut command = command(&QUICK);
        command.arg("--path.procfs").arg(path);
        command
    };
    let missing = format!("{path}/none");
    fails(with_procfs(&missing), &[&missing, "--path.procfs"])?;
    fails(with_procfs(&path), &["process 1"])
}

#[test]
fn without_rights() -> Result<()> {
    testkit::require!(require::root(), require::program("setpriv"));
    // Where anybody may run it.
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
    let program = folder.path().join("container-monitor");
    std::fs::copy(EXE, &program)?;
    let setpriv = find_program("setpriv").context("no setpriv")?;
    let mut command = Command::new(setpriv);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(program).args(QUICK).env_clear();
    fails(command, &["process 1", "run as root", "CAP_SYS_PTRACE"])
}
