//! Whether the monitor answers: `GET /healthz` at the first address that it listens on.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::{Finding, Verdict, tls};
use crate::serve::web::Loaded;

const WHAT: &str = "the monitor";

/// How long connecting and each read may take: an orchestrator's own limit is a second or more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks, over TLS where the web configuration `file` says so.
pub(super) fn check(addresses: &[SocketAddr], file: Option<&Path>) -> Finding {
    let Some(address) = addresses.first().map(|address| reachable(*address)) else {
        return Finding::new(Verdict::Bad, WHAT, "listens nowhere");
    };
    match ask(address, file) {
        Ok(Answer::Status(status)) if status == "200" => {
            Finding::new(Verdict::Good, WHAT, format!("answers at {address}"))
        }
        Ok(Answer::WantsCertificate) => Finding::new(
            Verdict::Good,
            WHAT,
            format!("answers at {address}, to clients with a certificate alone"),
        ),
        Ok(Answer::Status(status)) => Finding::new(
            Verdict::Bad,
            WHAT,
            format!(
                "what listens at {address} answers /healthz with {status:?} (--web.config.file, \
                 as for serve, says whether to speak TLS)"
            ),
        ),
        Err(error) => Finding::new(
            Verdict::Bad,
            WHAT,
            format!("does not answer at {address}: {error} (--web.listen-address, as for serve)"),
        ),
    }
}

/// An address to connect to: of one that stands for all, loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        // Also of those of IPv6: ours are those of IPv4 too, and loopback may have IPv4 alone.
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The status of an answer.
    Status(String),
    /// It speaks TLS, and with clients that show a certificate alone.
    WantsCertificate,
}

fn ask(address: SocketAddr, file: Option<&Path>) -> io::Result<Answer> {
    let plain = || ask_over(connect(address)?, address);
    let secret = || tls::ask(connect(address)?, address);
    match file.map(Loaded::new) {
        None => plain(),
        Some(Ok(loaded)) if loaded.has_tls() => secret(),
        Some(Ok(_)) => plain(),
        // The monitor goes on with what the file said before it was broken.
        Some(Err(_)) => secret().or_else(|_| plain()),
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The status of `GET /healthz`.
pub(super) fn ask_over(mut stream: impl Read + Write, address: SocketAddr) -> io::Result<Answer> {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    // The status is in the first bytes; whatever may follow is not waited for.
    let mut answer = [0; 64];
    let mut length = 0;
    while length < answer.len() && !answer[..length].contains(&b'\n') {
        match stream.read(&mut answer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    let text = String::from_utf8_lossy(&answer[..length]);
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some(version), Some(status)) if version.starts_with("HTTP/") => {
            Ok(Answer::Status(status.to_owned()))
        }
        _ => Err(io::Error::other("that is no HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with `text`.
    fn server(text: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /healthz HTTP/1.1\r\n"));
            stream.write_all(text.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn what_answers_well_is_healthy() {
        let verdict = |text| check(&[server(text)], None).verdict;
        assert_eq!(verdict("HTTP/1.1 200 OK\r\n\r\n"), Verdict::Good);
        assert_eq!(verdict("HTTP/1.1 503 Busy\r\n\r\n"), Verdict::Bad);
        assert_eq!(verdict("220 mail\r\n"), Verdict::Bad);
        assert_eq!(verdict(""), Verdict::Bad);
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let finding = check(&[nobody.unwrap()], None);
        assert_eq!(finding.verdict, Verdict::Bad);
        assert!(finding.found.contains("--web.listen-address"), "{finding}");
    }

    #[test]
    fn of_all_addresses_loopback_is_asked() {
        for (listens, asked) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "127.0.0.1:1"),
            ("10.0.0.1:2", "10.0.0.1:2"),
        ] {
            let listens: SocketAddr = listens.parse().unwrap();
            assert_eq!(reachable(listens).to_string(), asked);
        }
    }
}
