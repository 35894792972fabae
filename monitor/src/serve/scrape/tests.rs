//! Tests of the parent module.

use std::io::Read as _;

use super::*;
use crate::metrics::Schema;

fn after(text: &str, offset: u64) -> Option<u128> {
    let mut headers = HeaderMap::new();
    headers.insert(TIMEOUT, HeaderValue::from_str(text).unwrap());
    deadline(&headers, Duration::from_millis(offset)).map(|limit| limit.as_millis())
}

#[test]
fn answers_come_a_little_sooner_than_prometheus_gives_up() {
    assert_eq!(after("10", 500), Some(9500));
    assert_eq!(after("10.000000", 500), Some(9500));
    assert_eq!(after("0.8", 500), Some(300));
    assert_eq!(after(" 1 ", 0), Some(1000));
    // An offset that leaves nothing.
    assert_eq!(after("0.5", 500), Some(500));
    assert_eq!(after("0.2", 500), Some(200));
    for text in ["", "soon", "-1", "0", "NaN", "inf", "1e300", "99999999"] {
        assert_eq!(after(text, 500), None, "{text}");
    }
    assert_eq!(deadline(&HeaderMap::new(), Duration::ZERO), None);
}

/// As much text as a large node has.
fn exposition() -> Arc<Exposition> {
    let mut text = "# HELP a_total counts\n# TYPE a_total counter\n".to_owned();
    for pod in 0..20_000 {
        let value = pod * 7919 % 100_003;
        text.push_str(&format!(
            "a_total{{namespace=\"shop\",pod=\"cart-{:08x}\",container=\"\"}} {value}\n",
            pod * 40503
        ));
    }
    Arc::new(Exposition::new(text))
}

fn owners() -> Arc<Owners> {
    Arc::new(Owners::new(&Schema::new(), []))
}

#[tokio::test]
async fn who_shares_a_collection_shares_its_forms() {
    let (answers, exposition, owners) = (Answers::default(), exposition(), owners());
    let form = || (Format::OpenMetrics, Coding::Gzip, Selection::All);
    let get = |form| answers.get(&exposition, form, &owners);
    let (one, other) = tokio::join!(get(form()), get(form()));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.as_ptr(), other.as_ptr());
    // Nothing of it is kept for later.
    let again = get(form()).await.unwrap();
    assert_ne!(one.as_ptr(), again.as_ptr());
    assert_eq!(one, again);
    let plain = (Format::Text, Coding::Identity, Selection::All);
    let plain = get(plain).await.unwrap();
    assert_eq!(plain.as_ptr(), exposition.text().as_ptr());
}

#[test]
fn every_coding_gives_the_text_back() {
    let (exposition, owners) = (exposition(), owners());
    let made = |coding| {
        make(
            &exposition,
            &(Format::OpenMetrics, coding, Selection::All),
            &owners,
        )
    };
    let plain = made(Coding::Identity);
    assert!(plain.ends_with(b"\n# EOF\n"));
    let gzip = made(Coding::Gzip);
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&*gzip)
        .read_to_end(&mut text)
        .unwrap();
    assert_eq!(text, plain);
    let zstd = made(Coding::Zstd);
    assert_eq!(zstd::bulk::decompress(&zstd, plain.len()).unwrap(), plain);
    assert!(gzip.len() < plain.len() / 4 && zstd.len() < plain.len() / 4);
}

/// Not a test of the time that it takes, but of what is gained, with the time to be read:
/// `cargo test --release --lib compression_pays -- --nocapture`.
#[test]
fn compression_pays() {
    let exposition = exposition();
    let text = exposition.text().as_bytes();
    for coding in [Coding::Gzip, Coding::Zstd] {
        let start = std::time::Instant::now();
        let size = compressed(text, coding).len();
        let took = start.elapsed();
        eprintln!("{coding:?}: {} bytes to {size} in {took:?}", text.len());
        assert!(size < text.len() / 4);
    }
}
