//! Pushes to receivers that are slow, refuse, fail, say nothing, go away and come back.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use testkit::receiver::{Received, Receiver, Reply};

use super::*;
use crate::push::Batch;

/// How long is waited for what takes a few back-offs.
const SOON: Duration = Duration::from_secs(30);

/// Each collection is one batch of ten samples that says its number; answers mean what they mean
/// for OTLP.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Protocol for Counting {
    const NAME: &'static str = "test";

    fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &[]
    }

    fn encode(&self, _: &Exposition, _: SystemTime) -> Encoded {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        Encoded {
            batches: vec![Batch {
                body: Bytes::from(number.to_string()),
                samples: 10,
            }],
            dropped: 1,
        }
    }

    fn verdict(&self, answer: &Answer) -> Verdict {
        match answer.status.as_u16() {
            200 => Verdict::Taken {
                rejected: answer.body.len() as u64,
                reason: String::new(),
            },
            400 => Verdict::Refused,
            _ => Verdict::Later(answer.retry_after),
        }
    }
}

struct Running {
    counts: Counts,
    stop: watch::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(receiver: &Receiver, interval: Duration) -> Result<Self> {
        Self::start_with(receiver, interval, Exposition::default)
    }

    fn start_with(
        receiver: &Receiver,
        interval: Duration,
        collect: impl FnMut() -> Exposition + Send + 'static,
    ) -> Result<Self> {
        let counts = Counts::otlp()?;
        let push = Push {
            protocol: Counting::default(),
            target: Target::new(&receiver.url(), |_| "/push".to_owned())?,
            interval,
            counts: counts.clone(),
        };
        let (stop, stopped) = watch::channel(());
        let collections = Arc::new(SingleFlight::new(collect));
        let task = tokio::spawn(push.run(collections, stopped));
        Ok(Self { counts, stop, task })
    }

    async fn until(&self, reached: impl Fn(&Counts) -> bool) -> Result<()> {
        let poll = async {
            while !reached(&self.counts) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        Ok(timeout(SOON, poll).await?)
    }

    async fn end(self) -> Result<()> {
        self.stop.send(())?;
        Ok(timeout(SOON, self.task).await??)
    }
}

/// The numbers of the collections that were received, each once, in the order in which they came.
fn numbers(received: &[Received]) -> Vec<u64> {
    let text = |one: &Received| String::from_utf8_lossy(&one.body).parse().ok();
    let mut numbers: Vec<u64> = received.iter().filter_map(text).collect();
    numbers.dedup();
    numbers
}

const OFTEN: Duration = Duration::from_millis(100);
const ONCE: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn every_collection_is_sent_and_counted() -> Result<()> {
    let receiver = Receiver::start(|_, _| Reply::status(200))?;
    let running = Running::start(&receiver, OFTEN)?;
    running.until(|counts| counts.sent.get() >= 30).await?;
    let counts = running.counts.clone();
    running.end().await?;
    let received = receiver.received();
    assert_eq!(received[0].target, "POST /push");
    assert_eq!(received[0].header("host"), receiver.address().to_string());
    assert_eq!(counts.sent.get(), 10 * received.len() as u64);
    assert_eq!(counts.dropped.get(), received.len() as u64);
    assert_eq!(counts.errors.get(), 0);
    Ok(())
}

#[tokio::test]
async fn what_fails_is_sent_again_and_what_is_refused_is_not() -> Result<()> {
    let receiver = Receiver::start(|number, _| match number {
        0 => Reply::status(500),
        1 => Reply::Close,
        2 => Reply::Status(200, "", b"abc".to_vec()),
        _ => Reply::status(400),
    })?;
    let running = Running::start(&receiver, ONCE)?;
    running.until(|counts| counts.sent.get() == 7).await?;
    assert_eq!(running.counts.errors.get(), 2);
    assert_eq!(running.counts.dropped.get(), 1 + 3);
    running.end().await?;
    assert_eq!(numbers(&receiver.received()), [0]);

    let refusing = Receiver::start(|_, _| Reply::status(400))?;
    let running = Running::start(&refusing, ONCE)?;
    running.until(|counts| counts.dropped.get() == 11).await?;
    assert_eq!(running.counts.errors.get(), 1);
    running.end().await?;
    assert_eq!(refusing.received().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_comes_back_gets_what_waited_in_order() -> Result<()> {
    let receiver = Receiver::start(|_, _| Reply::status(200))?;
    let address = receiver.address();
    let running = Running::start(&receiver, OFTEN)?;
    running.until(|counts| counts.sent.get() >= 20).await?;
    let before = numbers(&receiver.stop());
    running.until(|counts| counts.errors.get() >= 2).await?;
    let receiver = Receiver::start_at(address, |_, _| Reply::status(200))?;
    let sent = running.counts.sent.get();
    running
        .until(|counts| counts.sent.get() > sent + 50)
        .await?;
    running.end().await?;
    let mut all = [before, numbers(&receiver.received())].concat();
    // One may have been received whose answer was lost.
    all.dedup();
    let expected: Vec<u64> = (0..all.len() as u64).collect();
    assert_eq!(all, expected);
    Ok(())
}

#[tokio::test]
async fn a_receiver_is_left_alone_as_long_as_it_asks() -> Result<()> {
    let receiver = Receiver::start(|number, _| match number {
        0 => Reply::Status(503, "Retry-After: 3\r\n", Vec::new()),
        _ => Reply::status(200),
    })?;
    let running = Running::start(&receiver, ONCE)?;
    running.until(|counts| counts.errors.get() == 1).await?;
    let start = Instant::now();
    running.until(|counts| counts.sent.get() == 10).await?;
    assert!(start.elapsed() >= Duration::from_millis(2_500));
    running.end().await
}

#[tokio::test]
async fn what_waits_is_sent_at_the_end_but_for_a_receiver_that_fails() -> Result<()> {
    let receiver = Receiver::start(|number, _| match number {
        0 => Reply::Status(503, "Retry-After: 60\r\n", Vec::new()),
        _ => Reply::status(200),
    })?;
    let running = Running::start(&receiver, ONCE)?;
    running.until(|counts| counts.errors.get() == 1).await?;
    let counts = running.counts.clone();
    running.end().await?;
    assert_eq!(counts.sent.get(), 10);

    let failing = Receiver::start(|_, _| Reply::status(503))?;
    let running = Running::start(&failing, ONCE)?;
    running.until(|counts| counts.errors.get() == 1).await?;
    running.end().await
}

#[tokio::test]
async fn one_that_says_nothing_is_given_up() -> Result<()> {
    let receiver = Receiver::start(|number, _| match number {
        0 => Reply::Nothing,
        _ => Reply::status(200),
    })?;
    let running = Running::start(&receiver, ONCE)?;
    running.until(|counts| counts.sent.get() == 10).await?;
    assert_eq!(running.counts.errors.get(), 1);
    running.end().await
}

#[tokio::test]
async fn a_collection_that_takes_long_keeps_nothing_from_being_sent() -> Result<()> {
    let receiver = Receiver::start(|number, _| match number {
        0 => Reply::status(503),
        _ => Reply::status(200),
    })?;
    let (release, hang) = std::sync::mpsc::channel::<()>();
    let mut collections = 0;
    let running = Running::start_with(&receiver, OFTEN, move || {
        collections += 1;
        if collections == 2 {
            hang.recv().ok();
        }
        Exposition::default()
    })?;
    // The second is under way before the first is sent again.
    running.until(|counts| counts.sent.get() == 10).await?;
    assert_eq!(running.counts.dropped.get(), 1);
    drop(release);
    running.until(|counts| counts.sent.get() >= 30).await?;
    running.end().await
}

#[tokio::test]
async fn collections_go_on_while_a_receiver_says_nothing() -> Result<()> {
    let receiver = Receiver::start(|number, _| match number {
        0 => Reply::Nothing,
        _ => Reply::status(200),
    })?;
    let running = Running::start(&receiver, OFTEN)?;
    // One sample of each collection cannot be expressed.
    running.until(|counts| counts.dropped.get() >= 20).await?;
    assert_eq!(running.counts.errors.get(), 0);
    running.until(|counts| counts.sent.get() >= 200).await?;
    running.end().await?;
    let numbers = numbers(&receiver.received());
    let expected: Vec<u64> = (0..numbers.len() as u64).collect();
    assert_eq!(numbers, expected);
    Ok(())
}

#[test]
fn pauses_grow_to_a_minute() {
    let between = |failures| (back_off(failures, 0), back_off(failures, u64::MAX));
    let seconds = Duration::from_secs;
    assert_eq!(between(0).0, Duration::from_millis(500));
    assert!(between(0).1 <= seconds(1) && between(0).1 > Duration::from_millis(999));
    assert_eq!(between(3).0, seconds(4));
    for failures in [6, 16, 17, u32::MAX] {
        assert_eq!(between(failures).0, seconds(30));
        assert!(between(failures).1 <= seconds(60));
    }
}
