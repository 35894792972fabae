//! Flags of pushes: what they mean with OpenTelemetry's variables, and what is refused.

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, CliCommand};
use crate::push::Protocol as _;

fn settings(args: &[&str], variables: &[(&str, &str)]) -> Result<PushSettings, PushError> {
    let args = [&["container-monitor", "serve"], args].concat();
    let CliCommand::Serve(args) = Cli::try_parse_from(args).unwrap().command else {
        panic!("serve");
    };
    PushSettings::new(args.push, |name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn nothing_is_pushed_unless_asked_for() {
    let settings = settings(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).unwrap();
    assert!(settings.falcon.is_none() && settings.otlp.is_none());
}

#[test]
fn paths_are_added_where_they_are_not_given() {
    let falcon = |url| {
        let settings = settings(&["--falcon.url", url], &[]).unwrap();
        settings.falcon.unwrap().target.path()
    };
    assert_eq!(falcon("http://127.0.0.1:1988"), "/v1/push");
    assert_eq!(falcon("http://127.0.0.1:6060/api/push"), "/api/push");

    let otlp = |args: &[&str], variables: &[(&str, &str)]| {
        settings(args, variables)
            .unwrap()
            .otlp
            .unwrap()
            .target
            .path()
    };
    assert_eq!(otlp(&["--otlp.endpoint=http://a:4318"], &[]), "/v1/metrics");
    assert_eq!(otlp(&["--otlp.endpoint=http://a/b/"], &[]), "/b/v1/metrics");
    assert_eq!(
        otlp(&["--otlp.endpoint=http://a/v1/metrics"], &[]),
        "/v1/metrics"
    );
    let (base, whole) = (
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a/c"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://a/d"),
    );
    assert_eq!(otlp(&[], &[base]), "/c/v1/metrics");
    assert_eq!(otlp(&[], &[base, whole]), "/d");
    assert_eq!(
        otlp(&["--otlp.endpoint=http://a"], &[base, whole]),
        "/v1/metrics"
    );
}

#[test]
fn headers_are_decoded() {
    let header = |args: &[&str], variables: &[(&str, &str)], name: &str| {
        let otlp = settings(args, variables).unwrap().otlp.unwrap().protocol;
        let found = otlp.headers().iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.to_str().unwrap().to_owned())
    };
    let url = "--otlp.endpoint=http://a";
    let args = [
        url,
        "--otlp.headers=authorization=Bearer%20a%2Bb+c=, X-Scope = t ",
    ];
    assert_eq!(
        header(&args, &[], "authorization").as_deref(),
        Some("Bearer a+b+c=")
    );
    assert_eq!(header(&args, &[], "x-scope").as_deref(), Some("t"));
    let variables = [("OTEL_EXPORTER_OTLP_HEADERS", "x-a=1,content-type=text")];
    assert_eq!(header(&[url], &variables, "x-a").as_deref(), Some("1"));
    let kind = header(&[url], &variables, "content-type");
    assert_eq!(kind.as_deref(), Some("application/x-protobuf"));
}

#[test]
fn what_is_wrong_is_named() {
    for (args, said) in [
        (
            &["--falcon.url=https://a/"][..],
            "--falcon.url https://a/: TLS",
        ),
        (
            &["--falcon.url=127.0.0.1:1988"],
            "--falcon.url 127.0.0.1:1988: no URL",
        ),
        (
            &["--falcon.url=http://user:secret@a/"],
            "--falcon.url http://a/: a URL with a user",
        ),
        (
            &["--otlp.endpoint=https://a/b?token=secret"],
            "--otlp.endpoint https://a/b: TLS",
        ),
        (
            &["--falcon.interval=0s"],
            "--falcon.interval 0s: must be from 1s",
        ),
        (
            &["--falcon.interval=1500ms"],
            "--falcon.interval 1s 500ms: must be",
        ),
        (&["--falcon.endpoint="], "--falcon.endpoint \"\""),
        (&["--falcon.endpoint=a b"], "--falcon.endpoint \"a b\""),
        (&["--falcon.metrics=("], "--falcon.metrics: "),
        (
            &["--otlp.endpoint=https://a"],
            "--otlp.endpoint https://a: TLS",
        ),
        (&["--otlp.interval=2days"], "--otlp.interval 2days: must be"),
        (
            &["--otlp.headers=a=1,secret"],
            "--otlp.headers: header 2 is none",
        ),
        (&["--otlp.headers=a=%2"], "--otlp.headers: header 1 is none"),
        (
            &["--otlp.headers=a=%+1"],
            "--otlp.headers: header 1 is none",
        ),
        (
            &["--otlp.headers=a b=1"],
            "--otlp.headers: header 1 is none",
        ),
        (
            &["--otlp.headers=a=1%0a"],
            "--otlp.headers: header 1 is none",
        ),
    ] {
        let error = settings(args, &[]).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
        assert!(!error.contains("secret"));
    }
}

#[test]
fn a_variable_that_is_of_no_use_is_named_and_stops_nothing() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318");
    let whole = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://a/d");
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,secret");
    for (variables, said) in [
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://a:4318")][..],
            "OTEL_EXPORTER_OTLP_ENDPOINT https://a:4318: TLS",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "a:4317")],
            "OTEL_EXPORTER_OTLP_ENDPOINT a:4317: no URL",
        ),
        (
            &[
                endpoint,
                ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://a/"),
            ],
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT https://a/: TLS",
        ),
        (
            &[endpoint, grpc],
            "OTEL_EXPORTER_OTLP_PROTOCOL grpc: http/protobuf",
        ),
        (
            &[whole, ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json")],
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL http/json: ",
        ),
        (
            &[endpoint, headers],
            "OTEL_EXPORTER_OTLP_HEADERS: header 2 is none",
        ),
    ] {
        let settings = settings(&[], variables).unwrap();
        assert!(settings.otlp.is_none());
        let error = settings.unusable.unwrap().to_string();
        assert!(error.starts_with(said), "{error}");
        assert!(!error.contains("secret"));
    }
    // Where there is no endpoint, nothing of them is about this program.
    let none = settings(&[], &[grpc, headers]).unwrap();
    assert!(none.otlp.is_none() && none.unusable.is_none());
    // The one for metrics goes before; our own flag is about HTTP.
    let http = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf");
    assert!(
        settings(&[], &[endpoint, grpc, http])
            .unwrap()
            .otlp
            .is_some()
    );
    let flag = ["--otlp.endpoint=http://a"];
    assert!(settings(&flag, &[grpc]).unwrap().otlp.is_some());
    let own = ["--otlp.endpoint=http://a", "--otlp.headers=a=1"];
    assert!(settings(&own, &[headers]).unwrap().otlp.is_some());
}

#[test]
fn the_name_of_the_host_is_asked_for_where_it_is_needed() {
    assert_eq!(endpoint_of_host("node-1".to_owned()).unwrap(), "node-1");
    for wrong in ["", "my host"] {
        let error = endpoint_of_host(wrong.to_owned()).unwrap_err().to_string();
        let said = format!("the host name {wrong:?} is no name for open-falcon");
        assert!(error.starts_with(&said), "{error}");
        assert!(error.ends_with("; set --falcon.endpoint"), "{error}");
    }
}
