//! Items as open-falcon's transfer reads them.

use serde_json::{Value, json};

use super::*;

const TEXT: &str = "\
# HELP container_network_sockets_inuse Sockets
# TYPE container_network_sockets_inuse gauge
container_network_sockets_inuse{namespace=\"shop\",pod=\"cart-0\",container=\"\",protocol=\"tcp\"} 7
# HELP container_network_tcp_retrans_segs_total Segments
# TYPE container_network_tcp_retrans_segs_total counter
container_network_tcp_retrans_segs_total{namespace=\"\",pod=\"\",container=\"web\"} 18446744073709551615
container_network_tcp_retrans_segs_total{namespace=\"\",pod=\"\",container=\"odd\"} NaN
# HELP container_network_udp_out_datagrams_total Not of the choice
# TYPE container_network_udp_out_datagrams_total counter
container_network_udp_out_datagrams_total{namespace=\"\",pod=\"\",container=\"web\"} 5
# HELP container_monitor_host_tcp_orphan_sockets Orphans
# TYPE container_monitor_host_tcp_orphan_sockets gauge
container_monitor_host_tcp_orphan_sockets 3
";

fn falcon(metrics: &str) -> Falcon {
    let metrics = Regex::new(&format!("^(?:{metrics})$")).unwrap();
    Falcon::new("node-1".to_owned(), Duration::from_secs(60), metrics)
}

fn answer(status: u16) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        retry_after: None,
        body: Bytes::new(),
    }
}

#[test]
fn samples_of_the_choice_become_items() {
    let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
    let encoded = falcon(METRICS).encode(&Exposition::new(TEXT.to_owned()), time);
    assert_eq!(encoded.dropped, 1, "NaN");
    assert_eq!(encoded.batches.len(), 1);
    assert_eq!(encoded.batches[0].samples, 3);
    let items: Value = serde_json::from_slice(&encoded.batches[0].body).unwrap();
    let item = |metric: &str, value: Value, kind: &str, tags: &str| {
        json!({
            "endpoint": "node-1", "metric": metric, "timestamp": 1_700_000_000, "step": 60,
            "value": value, "counterType": kind, "tags": tags,
        })
    };
    let expected = json!([
        item(
            "container_network_sockets_inuse",
            json!(7),
            "GAUGE",
            "namespace=shop,pod=cart-0,protocol=tcp"
        ),
        item(
            "container_network_tcp_retrans_segs_total",
            json!(u64::MAX as f64),
            "COUNTER",
            "container=web"
        ),
        item(
            "container_monitor_host_tcp_orphan_sockets",
            json!(3),
            "GAUGE",
            ""
        ),
    ]);
    assert_eq!(items, expected);
}

#[test]
fn many_samples_are_several_requests() {
    let mut text = "# HELP a A\n# TYPE a gauge\n".to_owned();
    for n in 0..1_001 {
        text.push_str(&format!("a{{container=\"{n}\"}} {n}\n"));
    }
    let encoded = falcon("a").encode(&Exposition::new(text), UNIX_EPOCH);
    let sizes: Vec<u64> = encoded.batches.iter().map(|batch| batch.samples).collect();
    assert_eq!(sizes, [500, 500, 1]);
}

#[test]
fn answers_are_final_or_not() {
    let verdict = |status| falcon("a").verdict(&answer(status));
    assert!(matches!(verdict(200), Verdict::Taken { rejected: 0, .. }));
    for status in [400, 401, 404, 301] {
        assert_eq!(verdict(status), Verdict::Refused);
    }
    for status in [408, 429, 500, 502, 503] {
        assert_eq!(verdict(status), Verdict::Later(None));
    }
}
