//! A plain HTTP/1.1 GET through the standard library: the client must not share code with the
//! server under test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, decoded if it came in chunks.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header field, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|(field, value)| (field == name).then_some(value.as_str()))
    }

    /// The body as text.
    ///
    /// # Errors
    /// When the status is not 200, or the body is not UTF-8.
    pub fn text(self) -> Result<String> {
        let text = String::from_utf8(self.body)?;
        ensure!(self.status == 200, "status {}: {text}", self.status);
        Ok(text)
    }
}

/// GETs `path` from `address`.
///
/// # Errors
/// When there is no connection, no answer within 30 s, or none that is HTTP.
pub fn get(address: SocketAddr, path: &str) -> Result<Response> {
    get_with(address, path, &[])
}

/// GETs `path` with more header fields.
///
/// # Errors
/// As [`get`].
pub fn get_with(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
    let stream = TcpStream::connect(address).with_context(|| format!("can't reach {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    request(stream, &address.to_string(), path, fields)
        .with_context(|| format!("GET http://{address}{path}"))
}

/// GETs `path` over an open connection of any kind.
///
/// # Errors
/// When no answer comes, or none that is HTTP.
pub fn request(
    mut stream: impl Read + Write,
    host: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> Result<Response> {
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer)
}

/// Reads a whole answer.
fn parse(answer: &[u8]) -> Result<Response> {
    let split = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let split = split.context("the answer has no end of its header")?;
    let head = std::str::from_utf8(&answer[..split])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.context("the answer has no status")?.parse()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut response = Response {
        status,
        headers,
        body: answer[split + 4..].to_vec(),
    };
    if response.header("transfer-encoding") == Some("chunked") {
        response.body = unchunk(&response.body)?;
    } else if let Some(length) = response.header("content-length") {
        let length: usize = length.parse()?;
        let got = response.body.len();
        ensure!(got == length, "{got} bytes of {length} came");
    }
    Ok(response)
}

/// Joins the chunks of a body.
fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|bytes| bytes == b"\r\n");
        let line = line.context("a chunk has no length")?;
        let length = std::str::from_utf8(&rest[..line])?;
        let length = usize::from_str_radix(length.split(';').next().unwrap_or(""), 16)?;
        if length == 0 {
            return Ok(body);
        }
        let Some(chunk) = rest.get(line + 2..line + 2 + length) else {
            bail!("a chunk of {length} bytes is cut off");
        };
        body.extend_from_slice(chunk);
        rest = rest.get(line + 2 + length + 2..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_answers() -> Result<()> {
        let plain = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")?;
        assert_eq!(plain.text()?, "hi");
        let chunked =
            b"HTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n";
        let chunked = parse(chunked)?;
        assert_eq!(
            (chunked.status, chunked.body.as_slice()),
            (404, &b"abc"[..])
        );
        assert!(chunked.text().is_err());
        Ok(())
    }

    #[test]
    fn refuses_what_is_cut_off() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"\r\n\r\n",
        ] {
            assert!(parse(answer).is_err(), "{answer:?}");
        }
    }
}
