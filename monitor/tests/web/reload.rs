//! Files that change while the monitor runs.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::{http, require, wait};

use crate::monitor;
use crate::pki::{Pki, TLS, basic, pem};
use crate::secure::users;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn certificates_and_users_are_read_anew() -> Result<()> {
    testkit::require!(require::root());
    let pki = Pki::new()?;
    let file = pki.web(&format!("{TLS}{}", users("first")?))?;
    let monitor = monitor(&["--web.config.file", &file])?;
    let address = monitor.address();
    let client = pki.client(None)?;
    let status = |password| {
        let field = basic("alice", password);
        Ok::<_, anyhow::Error>(
            client
                .get(address, "/metrics", &[("Authorization", &field)])?
                .status,
        )
    };
    ensure!(status("first")? == 200 && status("second")? == 401);
    let before = client.shown(address)?;
    pki.sign("server", &["127.0.0.1"])?;
    wait::until("the new certificate is shown", SOON, || {
        Ok((client.shown(address)? == pem(&pki.path("server.crt"))?).then_some(()))
    })?;
    ensure!(client.shown(address)? != before);
    pki.web(&format!("{TLS}{}", users("second")?))?;
    wait::until("the new password is right", SOON, || {
        Ok((status("second")? == 200).then_some(()))
    })?;
    ensure!(status("first")? == 401);
    monitor.stop()?;
    Ok(())
}

#[test]
fn a_broken_file_leaves_the_former_one_in_use_and_is_told_of_once() -> Result<()> {
    testkit::require!(require::root());
    let pki = Pki::new()?;
    let good = format!("{TLS}{}", users("secret")?);
    let file = pki.web(&good)?;
    let monitor = monitor(&["--web.config.file", &file])?;
    let address = monitor.address();
    let client = pki.client(None)?;
    let field = basic("alice", "secret");
    let is_in_use = || -> Result<bool> {
        let right = client.get(address, "/metrics", &[("Authorization", &field)])?;
        let none = client.get(address, "/metrics", &[])?;
        Ok(right.status == 200 && none.status == 401)
    };
    let said = |word: &str| {
        monitor
            .log()
            .iter()
            .filter(|line| line.contains(word))
            .count()
    };
    let certificate = std::fs::read(pki.path("server.crt"))?;
    for (number, (text, word)) in [
        // Neither wrong nor empty files open what was closed.
        (format!("{good}surprise: 1\n"), "surprise"),
        (String::new(), "no tls_server_config any more"),
        (TLS.to_owned(), "no basic_auth_users any more"),
    ]
    .into_iter()
    .enumerate()
    {
        pki.web(&text)?;
        wait::until(word, SOON, || {
            ensure!(is_in_use()?, "{word}");
            Ok((said(word) == 1).then_some(()))
        })?;
        // It is looked at again and again, and told of once.
        std::thread::sleep(Duration::from_millis(1100));
        ensure!(is_in_use()? && said(word) == 1, "{:#?}", monitor.log());
        ensure!(said(" WARN ") == number + 1, "{:#?}", monitor.log());
    }
    // A certificate that is gone is the same as a broken file.
    pki.web(&good)?;
    std::fs::remove_file(pki.path("server.crt"))?;
    wait::until("server.crt", SOON, || {
        ensure!(is_in_use()?);
        Ok((said("server.crt: cannot be read") == 1).then_some(()))
    })?;
    std::fs::write(pki.path("server.crt"), certificate)?;
    wait::until("all is well", SOON, || {
        ensure!(is_in_use()?);
        Ok((said("the web configuration has changed") >= 1).then_some(()))
    })?;
    monitor.stop()?;
    Ok(())
}

/// A connection that is kept open does not keep what the file said when it was made.
#[test]
fn an_open_connection_gets_the_new_users() -> Result<()> {
    use std::io::{Read as _, Write as _};
    testkit::require!(require::root());
    let pki = Pki::new()?;
    let file = pki.web(&users("first")?)?;
    let monitor = monitor(&["--web.config.file", &file])?;
    let mut stream = std::net::TcpStream::connect(monitor.address())?;
    stream.set_read_timeout(Some(SOON))?;
    let mut ask = |password: &str| -> Result<String> {
        let field = basic("alice", password);
        write!(
            stream,
            "HEAD /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: {field}\r\n\r\n"
        )?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        Ok(String::from_utf8(head)?[9..12].to_owned())
    };
    ensure!(ask("first")? == "200");
    pki.web(&users("second")?)?;
    wait::until("the former password is wrong", SOON, || {
        Ok((ask("first")? == "401").then_some(()))
    })?;
    ensure!(ask("second")? == "200");
    let fields = [("Authorization", &*basic("alice", "second"))];
    ensure!(http::get_with(monitor.address(), "/readyz", &fields)?.status == 200);
    monitor.stop()?;
    Ok(())
}
