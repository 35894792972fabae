//! TLS and users: who is let in, where, and what the health probe makes of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::child::finish;
use testkit::http;
use testkit::monitor::command;
use testkit::require;

use crate::pki::{Pki, TLS, basic};
use crate::{EXE, monitor};

/// Users of the toolkit's example, with a password of ours.
pub(crate) fn users(password: &str) -> Result<String> {
    let hash = bcrypt::hash(password, 5)?;
    Ok(format!("basic_auth_users:\n  alice: {hash}\n"))
}

fn doctor(address: SocketAddr, file: Option<&str>) -> Result<Output> {
    let address = address.to_string();
    let mut args = vec!["doctor", "--health", "--web.listen-address", &address];
    args.extend(
        file.into_iter()
            .flat_map(|file| ["--web.config.file", file]),
    );
    finish(command(EXE, &args), Duration::from_secs(10))
}

#[test]
fn everything_but_health_wants_tls_and_a_password() -> Result<()> {
    testkit::require!(require::root());
    let pki = Pki::new()?;
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n";
    let file = pki.web(&format!("{TLS}{headers}{}", users("secret")?))?;
    let monitor = monitor(&["--web.config.file", &file])?;
    let address = monitor.address();
    let client = pki.client(None)?;
    let (right, wrong) = (basic("alice", "secret"), basic("alice", "Secret"));
    for path in ["/", "/metrics", "/readyz", "/nothing"] {
        for fields in [&[][..], &[("Authorization", &*wrong)]] {
            let answer = client.get(address, path, fields)?;
            ensure!(answer.status == 401, "{path}: {answer:?}");
            let asked = answer.header("www-authenticate");
            ensure!(asked.is_some_and(|asked| asked.starts_with("Basic")));
            ensure!(answer.header("x-frame-options") == Some("deny"));
        }
        let answer = client.get(address, path, &[("Authorization", &right)])?;
        let expected = if path == "/nothing" { 404 } else { 200 };
        ensure!(answer.status == expected, "{path}: {answer:?}");
        ensure!(answer.header("x-frame-options") == Some("deny"));
    }
    ensure!(client.get(address, "/healthz", &[])?.status == 200);
    // Plain HTTP is told so, whatever it asks for.
    for path in ["/metrics", "/healthz"] {
        let plain = http::get(address, path)?;
        ensure!(plain.status == 400, "{plain:?}");
        ensure!(String::from_utf8_lossy(&plain.body).contains("https"));
    }
    let healthy = doctor(address, Some(&file))?;
    ensure!(healthy.status.success(), "{healthy:?}");
    let lost = doctor(address, None)?;
    let said = String::from_utf8_lossy(&lost.stderr);
    ensure!(
        !lost.status.success() && said.contains("--web.config.file"),
        "{said}"
    );
    // The file is broken while the monitor goes on with what it said before.
    pki.web("tls_server_config: [")?;
    let healthy = doctor(address, Some(&file))?;
    ensure!(healthy.status.success(), "{healthy:?}");
    monitor.stop()?;
    Ok(())
}

#[test]
fn a_password_alone_is_asked_for_over_plain_http_too() -> Result<()> {
    testkit::require!(require::root());
    let pki = Pki::new()?;
    let file = pki.web(&users("secret")?)?;
    let monitor = monitor(&["--web.config.file", &file])?;
    let get = |fields: &[(&str, &str)]| http::get_with(monitor.address(), "/metrics", fields);
    ensure!(get(&[])?.status == 401);
    ensure!(get(&[("Authorization", &basic("alice", "secret"))])?.status == 200);
    ensure!(get(&[("Authorization", &basic("bob", "secret"))])?.status == 401);
    ensure!(monitor.get("/healthz")?.status == 200);
    ensure!(doctor(monitor.address(), Some(&file))?.status.success());
    monitor.stop()?;
    Ok(())
}

#[test]
fn clients_are_asked_for_a_certificate_as_the_file_says() -> Result<()> {
    testkit::require!(require::root());
    let (pki, foreign) = (Pki::new()?, Pki::new()?);
    pki.sign("client", &["client.example", "10.0.0.1"])?;
    pki.sign("other", &["other.example"])?;
    foreign.sign("client", &["client.example"])?;
    for file in ["client.crt", "client.key"] {
        let copy = pki.path(&format!("foreign{}", &file["client".len()..]));
        std::fs::copy(foreign.path(file), copy)?;
    }
    let authority = "  client_ca_file: ca.crt\n";
    let named = "  client_allowed_sans: [10.0.0.1, nobody.example]\n";
    // Without a certificate, with one of the authority's two, with one of another authority.
    for (kind, more, expected) in [
        ("NoClientCert", "", [true, true, true, true]),
        ("RequestClientCert", "", [true, true, true, true]),
        ("RequireAnyClientCert", "", [false, true, true, true]),
        ("RequireAnyClientCert", named, [false, true, false, false]),
        (
            "VerifyClientCertIfGiven",
            authority,
            [true, true, true, false],
        ),
        (
            "RequireAndVerifyClientCert",
            authority,
            [false, true, true, false],
        ),
        (
            "RequireAndVerifyClientCert",
            "  client_ca_file: ca.crt\n  client_allowed_sans: [10.0.0.1]\n",
            [false, true, false, false],
        ),
    ] {
        let file = pki.web(&format!("{TLS}  client_auth_type: {kind}\n{more}"))?;
        let monitor = monitor(&["--web.config.file", &file])?;
        let names = [None, Some("client"), Some("other"), Some("foreign")];
        for (name, expected) in names.into_iter().zip(expected) {
            let answer = pki.client(name)?.get(monitor.address(), "/metrics", &[]);
            let is_let_in = answer.as_ref().is_ok_and(|answer| answer.status == 200);
            ensure!(is_let_in == expected, "{kind} {more} {name:?}: {answer:?}");
        }
        // Whoever has no certificate still learns that it lives.
        let healthy = doctor(monitor.address(), Some(&file))?;
        ensure!(healthy.status.success(), "{kind}: {healthy:?}");
        monitor.stop()?;
    }
    Ok(())
}

#[test]
fn only_versions_that_are_wanted_are_spoken() -> Result<()> {
    testkit::require!(require::root(), require::program("openssl"));
    let pki = Pki::new()?;
    for (range, tls12, tls13) in [
        ("", true, true),
        ("  min_version: TLS13\n", false, true),
        ("  max_version: TLS12\n", true, false),
    ] {
        let file = pki.web(&format!("{TLS}{range}"))?;
        let monitor = monitor(&["--web.config.file", &file])?;
        for (flag, expected) in [("-tls1_1", false), ("-tls1_2", tls12), ("-tls1_3", tls13)] {
            let mut openssl = std::process::Command::new("openssl");
            let address = monitor.address().to_string();
            openssl.args([
                "s_client",
                "-connect",
                &address,
                flag,
                "-verify_return_error",
            ]);
            openssl.arg("-CAfile").arg(pki.path("ca.crt"));
            openssl.stdin(std::process::Stdio::null());
            let output = finish(openssl, Duration::from_secs(10))?;
            ensure!(
                output.status.success() == expected,
                "{range:?} {flag}: {output:?}"
            );
        }
        monitor.stop()?;
    }
    Ok(())
}

#[test]
fn what_comes_too_often_is_told_so() -> Result<()> {
    testkit::require!(require::root());
    let pki = Pki::new()?;
    let file = pki.web("rate_limit: {interval: 1h, burst: 3}\n")?;
    let monitor = monitor(&["--web.config.file", &file])?;
    let statuses = (0..5)
        .map(|_| Ok(monitor.get("/metrics")?.status))
        .collect::<Result<Vec<_>>>()?;
    ensure!(statuses == [200, 200, 200, 429, 429], "{statuses:?}");
    ensure!(monitor.get("/healthz")?.status == 200);
    monitor.stop()?;
    Ok(())
}

#[test]
fn a_broken_file_is_named_before_a_port_is_open() -> Result<()> {
    let pki = Pki::new()?;
    // A taken port would be the error if it were tried.
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let file = pki.web(&format!("{TLS}  min_version: TLS10\n"))?;
    for (file, words) in [
        (&*file, ["web.yml: line 4", "min_version", "TLS10"]),
        (
            "/no/such/web.yml",
            ["/no/such/web.yml", "cannot be read", "No such file"],
        ),
        ("/proc", ["/proc", "cannot be read", "no file"]),
    ] {
        let args = [
            "serve",
            "--web.listen-address",
            &address,
            "--web.config.file",
            file,
        ];
        let output = finish(command(EXE, &args), Duration::from_secs(10))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2), "{output:?}");
        ensure!(said.lines().count() == 1, "{said}");
        ensure!(said.starts_with("error: --web.config.file "), "{said}");
        for word in words {
            ensure!(said.contains(word), "no {word:?} in {said}");
        }
    }
    Ok(())
}

/// A handshake that is begun and not ended, or none at all, holds nobody up.
#[test]
fn who_speaks_no_tls_is_let_go_of() -> Result<()> {
    testkit::require!(require::root());
    let pki = Pki::new()?;
    let file = pki.web(TLS)?;
    let monitor = monitor(&["--web.config.file", &file])?;
    let mut held = Vec::new();
    for bytes in [
        &b""[..],
        &[22],
        &[22, 3, 1, 2, 0],
        &[22, 3, 1, 255, 255, 0, 0, 0, 0],
    ] {
        let mut stream = TcpStream::connect(monitor.address())?;
        stream.write_all(bytes)?;
        held.push(stream);
    }
    ensure!(
        pki.client(None)?
            .get(monitor.address(), "/metrics", &[])?
            .status
            == 200
    );
    for mut stream in held {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        // An alert, or the end; a reset is an end too.
        let mut said = Vec::new();
        if let Err(error) = stream.read_to_end(&mut said) {
            ensure!(
                error.kind() == std::io::ErrorKind::ConnectionReset,
                "{error}"
            );
        }
    }
    monitor.stop()?;
    Ok(())
}
