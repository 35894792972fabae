//! What the flags mean together, and what is refused.

use std::time::Duration;

use clap::Parser as _;

use super::{Config, ConfigError};
use crate::cli::{Cli, CliCommand, LogLevel};
use crate::discovery::follow::Demand;
use crate::discovery::scan::ScanMode;
use crate::metrics::CounterFile;
use crate::sampler::counters::CountersMode;
use crate::sampler::tcp_states::{Pace, TcpStatesMode};

fn config_with(docker_host: Option<&str>, args: &[&str]) -> Result<Config, ConfigError> {
    let args = [&["container-monitor", "serve"], args].concat();
    let CliCommand::Serve(args) = Cli::try_parse_from(args).unwrap().command else {
        panic!("serve");
    };
    Config::new(*args, docker_host.map(str::to_owned))
}

fn config(args: &[&str]) -> Result<Config, ConfigError> {
    config_with(None, args)
}

fn refused(args: &[&str]) -> String {
    config(args).unwrap_err().to_string()
}

#[test]
fn defaults_are_those_of_the_help() {
    let config = config(&[]).unwrap();
    assert_eq!(config.listen, ["[::]:10042".parse().unwrap()]);
    assert_eq!(config.telemetry_path, "/metrics");
    assert_eq!(config.files, CounterFile::ALL);
    assert!(config.transitions && !config.require_ebpf && !config.host_network);
    assert_eq!(config.log_level, LogLevel::Info);
    assert!(config.netstat_fields.is_none());
}

#[test]
fn addresses_may_be_short_or_several() {
    let listen = |address| config(&["--web.listen-address", address]).unwrap().listen;
    let both = ["[::]:1".parse().unwrap(), "[::1]:2".parse().unwrap()];
    assert_eq!(listen(":1,[::1]:2"), both);
    assert!(refused(&["--web.listen-address", "1.2.3.4"]).contains("--web.listen-address 1.2.3.4"));
}

#[test]
fn auto_looks_for_every_runtime_and_demands_none() {
    let auto = config(&[]).unwrap();
    let runtimes: Vec<_> = auto.docker.iter().map(|s| (s.runtime, s.demand)).collect();
    let if_present = Demand::IfPresent;
    assert_eq!(runtimes, [("docker", if_present), ("podman", if_present)]);
    let sockets: Vec<_> = auto
        .cri
        .iter()
        .map(|s| s.endpoint.socket().path())
        .collect();
    assert_eq!(
        sockets,
        [
            "/run/containerd/containerd.sock",
            "/run/k3s/containerd/containerd.sock",
            "/run/crio/crio.sock",
            "/run/cri-dockerd.sock",
        ]
    );
    assert!(auto.cri.iter().all(|s| s.demand == if_present));
    let containerd = |config: &Config| -> Vec<(String, Demand)> {
        let sources = config.containerd.iter();
        sources
            .map(|s| (s.endpoint.socket().path().to_owned(), s.demand))
            .collect()
    };
    let usual = [
        "/run/containerd/containerd.sock",
        "/run/k3s/containerd/containerd.sock",
    ];
    let usual = |demand| usual.map(|path| (path.to_owned(), demand)).to_vec();
    assert_eq!(containerd(&auto), usual(if_present));
    let named = config(&["--discovery=containerd"]).unwrap();
    assert_eq!(containerd(&named), usual(Demand::AnyOf));
    assert!(named.cri.is_empty() && named.docker.is_empty());
    // Where the CRI was given a socket, plain containers are looked for at the same one.
    let given = |flags: &[&str]| containerd(&config(flags).unwrap());
    let cri = "--cri.endpoint=/c.sock";
    assert_eq!(given(&[cri]), [("/c.sock".to_owned(), if_present)]);
    let other = "--containerd.endpoint=/d.sock";
    assert_eq!(given(&[cri, other]), [("/d.sock".to_owned(), if_present)]);
    assert_eq!(given(&[cri, other, "--discovery=cri"]), []);
    let both = "--discovery=cri,containerd";
    assert_eq!(given(&[cri, both]), usual(Demand::AnyOf));
    assert_eq!(auto.scan, ScanMode::UntilRuntimeAnswers);

    // An address that was given is the only one that is looked at.
    for given in [
        config(&["--docker.endpoint", "unix:///a.sock"]).unwrap(),
        config_with(Some("unix:///a.sock"), &[]).unwrap(),
    ] {
        assert_eq!(given.docker.len(), 1);
        assert!(format!("{:?}", given.docker[0].endpoint).contains("/a.sock"));
    }
    let both = config_with(
        Some("unix:///b.sock"),
        &["--docker.endpoint", "unix:///a.sock"],
    );
    let both = format!("{:?}", both.unwrap().docker);
    assert!(
        both.contains("/a.sock") && !both.contains("/b.sock"),
        "{both}"
    );
    // As the docker command has it.
    assert_eq!(config_with(Some(""), &[]).unwrap().docker.len(), 2);
}

#[test]
fn named_sources_are_used_and_no_others() {
    let sources = |list| {
        let config = config(&["--discovery", list]).unwrap();
        let docker: Vec<_> = config.docker.iter().map(|s| s.demand).collect();
        let cri: Vec<_> = config.cri.iter().map(|s| s.demand).collect();
        (docker, cri, config.scan)
    };
    let required = vec![Demand::Required];
    assert_eq!(sources("docker"), (required.clone(), vec![], ScanMode::Off));
    assert_eq!(sources("cgroup"), (vec![], vec![], ScanMode::Always));
    assert_eq!(
        sources("docker,cgroup"),
        (required.clone(), vec![], ScanMode::Always)
    );
    // One of the usual sockets will do.
    let any = vec![Demand::AnyOf; 4];
    assert_eq!(sources("cri"), (vec![], any.clone(), ScanMode::Off));
    assert_eq!(sources("cri,docker"), (required, any, ScanMode::Off));
    assert_eq!(
        refused(&["--discovery", "auto,docker"]),
        ConfigError::AutoNotAlone.to_string()
    );
    // An address that nobody looks at is no reason to refuse, but a wrong one is.
    assert!(
        config_with(Some("unix:///a.sock"), &["--discovery", "cgroup"])
            .unwrap()
            .docker
            .is_empty()
    );
}

#[test]
fn sockets_of_the_cri_that_were_given_are_the_only_ones() {
    let sources = |args: &[&str]| -> Vec<(String, Demand)> {
        let cri = config(args).unwrap().cri.into_iter();
        cri.map(|s| (s.endpoint.socket().path().to_owned(), s.demand))
            .collect()
    };
    let given = ["--cri.endpoint=unix:///a.sock", "--cri.endpoint=/b.sock"];
    let both = |demand| {
        vec![
            ("/a.sock".to_owned(), demand),
            ("/b.sock".to_owned(), demand),
        ]
    };
    assert_eq!(sources(&given), both(Demand::IfPresent));
    let named = [&given[..], &["--discovery=cri"]].concat();
    assert_eq!(sources(&named), both(Demand::Required));
    let listed = [
        "--discovery=cri",
        "--cri.endpoint=/a.sock,unix:///b.sock,/a.sock",
    ];
    assert_eq!(sources(&listed), both(Demand::Required));
    let unused = [&given[..], &["--discovery=docker"]].concat();
    assert_eq!(sources(&unused), []);
    // Also where nobody would look at it.
    let refusal = refused(&["--discovery=docker", "--cri.endpoint=tcp://x"]);
    assert!(
        refusal.starts_with("--cri.endpoint: \"tcp://x\""),
        "{refusal}"
    );
}

#[test]
fn every_refusal_is_one_line_that_names_its_flag() {
    let off = CounterFile::ALL.map(|file| format!("--no-collector.{}", file.name()));
    let mut off: Vec<&str> = off.iter().map(String::as_str).collect();
    off.push("--no-collector.transitions");
    off.push("--collector.tcp-states=off");
    off.push("--no-collector.filesystem");
    off.push("--no-collector.disk-io");
    off.push("--no-collector.writable-layer");
    for (args, flag) in [
        (&["--web.listen-address", "x"][..], "--web.listen-address"),
        (&["--web.telemetry-path", "x"], "--web.telemetry-path"),
        (&["--discovery", "cgroup,auto"], "--discovery"),
        (&["--docker.endpoint", "x"], "--docker.endpoint"),
        (&["--cri.endpoint", "x"], "--cri.endpoint"),
        (&["--containerd.endpoint", "x"], "--containerd.endpoint"),
        (&["--pod-labels", "a,*"], "--pod-labels"),
        (&["--pod-annotations", "a.b,a-b"], "--pod-annotations"),
        (
            &["--collector.netstat.fields", "(a"],
            "--collector.netstat.fields",
        ),
        (
            &["--collector.netstat.fields", "a\n[b"],
            "--collector.netstat.fields",
        ),
        (
            &["--collector.filesystem.fs-types-exclude", "(a"],
            "--collector.filesystem.fs-types-exclude",
        ),
        (
            &["--collector.filesystem.mount-points-exclude", "a\n[b"],
            "--collector.filesystem.mount-points-exclude",
        ),
        (
            &["--require-ebpf", "--no-collector.transitions"],
            "--require-ebpf",
        ),
        (&off, "--no-collector"),
    ] {
        let text = refused(args);
        assert!(text.starts_with(flag), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.ends_with('.'), "{text}");
    }
    let error = config_with(Some("ftp://a"), &[]).unwrap_err().to_string();
    assert!(error.starts_with("DOCKER_HOST: "), "{error}");
}

#[test]
fn the_last_word_on_a_collector_counts() {
    let on = |args: &[&str]| config(args).unwrap().files.contains(&CounterFile::Snmp);
    assert!(on(&["--collector.snmp"]));
    assert!(on(&["--no-collector.snmp", "--collector.snmp"]));
    assert!(!on(&["--no-collector.snmp"]));
    assert!(!on(&["--collector.snmp", "--no-collector.snmp"]));
    assert!(!on(&["--collector.snmp=false"]));
    assert!(!config(&["--no-collector.transitions"]).unwrap().transitions);
}

#[test]
fn sockets_are_looked_at_in_the_way_that_was_asked_for() {
    let default = config(&[]).unwrap();
    assert_eq!(default.tcp_states, TcpStatesMode::Auto);
    assert_eq!(default.counters, CountersMode::Auto);
    let pace = Pace {
        min_interval: Duration::from_secs(1),
        max_duration: Duration::from_millis(250),
    };
    assert_eq!(default.tcp_states_pace, pace);
    let asked = config(&[
        "--collector.tcp-states=sock_diag",
        "--collector.tcp-states.min-interval=1m 30s",
        "--collector.tcp-states.max-duration=20ms",
        "--collector.counters=proc",
    ])
    .unwrap();
    assert_eq!(asked.tcp_states, TcpStatesMode::SockDiag);
    assert_eq!(asked.counters, CountersMode::Proc);
    assert_eq!(asked.tcp_states_pace.min_interval, Duration::from_secs(90));
    assert_eq!(
        asked.tcp_states_pace.max_duration,
        Duration::from_millis(20)
    );
}

#[test]
fn limits_are_off_at_zero_and_selectors_may_be_several() {
    let none = config(&[]).unwrap().limits;
    assert!(none.include.is_empty() && none.exclude.is_empty() && none.min_age.is_zero());
    assert_eq!((none.containers, none.series), (None, None));
    let some = config(&[
        "--container-include=namespace=shop;pod=~\"a,b\"",
        "--container-include=image=x",
        "--container-exclude=",
        "--min-container-age=90s",
        "--limit.containers=7",
        "--limit.series=9",
    ]);
    let some = some.unwrap().limits;
    assert_eq!((some.include.len(), some.exclude.len()), (3, 0));
    assert_eq!(some.min_age, Duration::from_secs(90));
    assert_eq!((some.containers, some.series), (Some(7), Some(9)));
}
