//! Where to connect, and when to come again.

use super::*;

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = humantime::parse_rfc3339("2026-02-03T04:05:06Z").unwrap();
    let after = |text: &'static str| {
        let headers = [(RETRY_AFTER, HeaderValue::from_static(text))];
        retry_after(&headers.into_iter().collect(), now)
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(after("7"), seconds(7));
    assert_eq!(after("Tue, 03 Feb 2026 04:06:06 GMT"), seconds(60));
    assert_eq!(after("Tue, 03 Feb 2026 04:04:06 GMT"), seconds(0));
    assert_eq!(after("soon"), None);
    assert_eq!(after("-1"), None);
}

/// An address that says nothing, and one that refuses, come before the one that answers.
#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound = || {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(any).unwrap();
        socket
    };
    let full = bound().listen(1).unwrap();
    let silent = full.local_addr().unwrap();
    // What is beyond its queue is dropped, as by a firewall.
    let mut filled = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(300), TcpStream::connect(silent)).await
    {
        filled.push(stream);
    }
    let closed = bound();
    let refuses = closed.local_addr().unwrap();
    let answers = bound().listen(1).unwrap();
    let answers = answers
        .local_addr()
        .map(|address| (address, answers))
        .unwrap();
    let stream = connect(&[silent, refuses, answers.0]).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), answers.0);
    let error = connect(&[silent]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(connect(&[]).await.is_err());
}
