//! Collections as messages, and what answers mean. Another implementation of the messages reads
//! them in the suite `push`.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::messages::PartialSuccess;
use super::*;

const TEXT: &str = "\
# HELP container_network_sockets_used Sockets, a \\\\ and\\na line
# TYPE container_network_sockets_used gauge
container_network_sockets_used{namespace=\"\",pod=\"\",container=\"/\"} 9
container_network_sockets_used{namespace=\"shop\",pod=\"cart-0\",container=\"\"} 7
container_network_sockets_used{namespace=\"\",pod=\"\",container=\"w\\\"eb\"} 8
# HELP container_network_tcp_out_segs_total Segments
# TYPE container_network_tcp_out_segs_total counter
container_network_tcp_out_segs_total{namespace=\"\",pod=\"\",container=\"w\\\"eb\"} 18446744073709551615
# HELP container_network_info Info
# TYPE container_network_info gauge
container_network_info{namespace=\"\",pod=\"\",container=\"w\\\"eb\",container_id=\"abc\",image=\"i:1\",runtime=\"docker\",netns=\"4\",network_mode=\"\"} 1
# HELP container_monitor_collections_total Collections
# TYPE container_monitor_collections_total counter
container_monitor_collections_total 2
# HELP process_start_time_seconds Start
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1700000000
# HELP process_cpu_seconds_total CPU
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 2
";

const NOW: Duration = Duration::from_nanos(1_700_000_060_000_000_001);

fn otlp() -> Otlp {
    Otlp::new("h".to_owned(), Some("n".to_owned()), Vec::new())
}

fn request(batch: &Batch) -> ExportRequest {
    let mut body = Vec::new();
    GzDecoder::new(&batch.body[..])
        .read_to_end(&mut body)
        .unwrap();
    ExportRequest::decode(&body[..]).unwrap()
}

fn texts(attributes: &[KeyValue]) -> Vec<(&str, &str)> {
    let text = |pair: &KeyValue| pair.value.as_ref()?.string_value.as_ref().map(String::len);
    assert!(
        attributes
            .iter()
            .all(|pair| text(pair).is_some_and(|len| len > 0))
    );
    attributes
        .iter()
        .filter(|pair| !pair.key.starts_with("service.") && pair.key != "host.name")
        .map(|pair| {
            let value = pair
                .value
                .as_ref()
                .and_then(|value| value.string_value.as_deref());
            (&*pair.key, value.unwrap_or_default())
        })
        .collect()
}

#[test]
fn each_container_is_a_resource() {
    let encoded = otlp().encode(&Exposition::new(TEXT.to_owned()), UNIX_EPOCH + NOW);
    assert_eq!((encoded.batches.len(), encoded.dropped), (1, 0));
    assert_eq!(encoded.batches[0].samples, 8);
    let request = request(&encoded.batches[0]);
    let resources: Vec<_> = request
        .resource_metrics
        .iter()
        .map(|metrics| texts(&metrics.resource.as_ref().unwrap().attributes))
        .collect();
    let node = ("k8s.node.name", "n");
    assert_eq!(
        resources,
        [
            vec![node],
            vec![
                node,
                ("container.name", "w\"eb"),
                ("container.id", "abc"),
                ("container.image.name", "i:1"),
                ("container.runtime", "docker"),
            ],
            vec![
                node,
                ("k8s.namespace.name", "shop"),
                ("k8s.pod.name", "cart-0")
            ],
        ]
    );
    let used = &request.resource_metrics[0].scope_metrics[0].metrics[0];
    assert_eq!(used.description, "Sockets, a \\ and\na line");
}

#[test]
fn counters_are_cumulative_sums_with_a_start_where_it_is_known() {
    let encoded = otlp().encode(&Exposition::new(TEXT.to_owned()), UNIX_EPOCH + NOW);
    let request = request(&encoded.batches[0]);
    let find = |name: &str| {
        let scopes = request
            .resource_metrics
            .iter()
            .flat_map(|r| &r.scope_metrics);
        let mut metrics = scopes.flat_map(|scope| &scope.metrics);
        match metrics
            .find(|metric| metric.name == name)
            .unwrap()
            .data
            .clone()
        {
            Some(Data::Sum(sum)) => {
                assert!(sum.is_monotonic && sum.aggregation_temporality == CUMULATIVE);
                sum.data_points[0].clone()
            }
            Some(Data::Gauge(gauge)) => gauge.data_points[0].clone(),
            None => panic!("no data"),
        }
    };
    let kernel = find("container_network_tcp_out_segs_total");
    assert_eq!(kernel.start_time_unix_nano, 0);
    assert_eq!(kernel.value, Some(Number::Double(u64::MAX as f64)));
    let own = find("container_monitor_collections_total");
    assert_eq!(own.start_time_unix_nano, 1_700_000_000_000_000_000);
    assert_eq!(own.time_unix_nano, 1_700_000_060_000_000_001);
    assert_eq!(own.value, Some(Number::Int(2)));
    // Whole by chance: a moment later it is none.
    let cpu = find("process_cpu_seconds_total");
    assert_eq!(cpu.value, Some(Number::Double(2.0)));
    assert_eq!(find("process_start_time_seconds").start_time_unix_nano, 0);
    assert_eq!(texts(&find("container_network_info").attributes).len(), 4);
}

#[test]
fn many_points_are_several_requests_and_a_resource_stays_whole() {
    let mut text = "# HELP a A\n# TYPE a gauge\n".to_owned();
    for n in 0..20_000 {
        text.push_str(&format!(
            "a{{container=\"{:05}\",n=\"{n}\"}} {n}\n",
            n / 3_000
        ));
    }
    let encoded = otlp().encode(&Exposition::new(text), UNIX_EPOCH + NOW);
    let sizes: Vec<u64> = encoded.batches.iter().map(|batch| batch.samples).collect();
    assert_eq!(sizes, [6_000, 6_000, 8_000]);
}

#[test]
fn answers_are_read_as_the_protocol_says() {
    let verdict = |status: u16, body: Vec<u8>| {
        otlp().verdict(&Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: Some(Duration::from_secs(7)),
            body: body.into(),
        })
    };
    let partial = ExportResponse {
        partial_success: Some(PartialSuccess {
            rejected_data_points: 3,
            error_message: "too old".to_owned(),
        }),
    };
    let taken = |rejected, reason: &str| Verdict::Taken {
        rejected,
        reason: reason.to_owned(),
    };
    assert_eq!(verdict(200, partial.encode_to_vec()), taken(3, "too old"));
    assert_eq!(verdict(200, Vec::new()), taken(0, ""));
    assert_eq!(verdict(200, b"fine".to_vec()), taken(0, ""));
    for status in [429, 502, 503, 504] {
        assert_eq!(
            verdict(status, Vec::new()),
            Verdict::Later(Some(Duration::from_secs(7)))
        );
    }
    for status in [400, 401, 404, 413, 500] {
        assert_eq!(verdict(status, Vec::new()), Verdict::Refused);
    }
}

#[test]
fn units_follow_from_names() {
    assert_eq!(unit("container_monitor_host_tcp_memory_bytes"), "By");
    assert_eq!(unit("container_disk_read_bytes_total"), "By");
    assert_eq!(unit("process_cpu_seconds_total"), "s");
    assert_eq!(unit("container_network_sockets_used"), "");
}
