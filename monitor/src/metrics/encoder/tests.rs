//! The encoder against the `prometheus` crate's, byte for byte.

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use proptest::prelude::*;

use super::Encoder;
use crate::metrics::labels::{Identity, Labels, Tail};
use crate::metrics::tables::Kind;
use crate::procfs::Number;

#[derive(Clone, Debug)]
struct Row {
    /// Namespace, pod and container as a runtime may give them; `None` for a row without labels.
    identity: Option<[Vec<u8>; 3]>,
    tail: Option<Vec<u8>>,
    value: i64,
}

#[derive(Clone, Debug)]
struct Family {
    name: String,
    help: String,
    counter: bool,
    rows: Vec<Row>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ours(families: &[Family]) -> (String, u64) {
    let mut out = String::new();
    let mut encoder = Encoder::new(&mut out);
    for family in families {
        let kind = match family.counter {
            true => Kind::Counter,
            false => Kind::Gauge,
        };
        let mut samples = encoder.family(&family.name, &family.help, kind);
        for row in &family.rows {
            let labels = row.identity.as_ref().map_or_else(Labels::new, |identity| {
                let [namespace, pod, container] = identity.each_ref().map(|bytes| text(bytes));
                Identity {
                    namespace,
                    pod,
                    container,
                }
                .labels()
            });
            let tail = row
                .tail
                .as_ref()
                .map_or(Tail::NONE, |value| Tail::label("state", &text(value)));
            let value =
                u64::try_from(row.value).map_or(Number::Negative(row.value), Number::Unsigned);
            samples.sample(&labels, &tail, value);
        }
    }
    let series = encoder.series();
    (out, series)
}

fn theirs(families: &[Family]) -> String {
    let pair = |name: &str, value: &[u8]| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(text(value));
        pair
    };
    let metric = |row: &Row| {
        let names = ["namespace", "pod", "container"];
        let mut labels: Vec<LabelPair> = row
            .identity
            .iter()
            .flat_map(|identity| names.into_iter().zip(identity))
            .map(|(name, value)| pair(name, value))
            .collect();
        labels.extend(row.tail.iter().map(|value| pair("state", value)));
        let mut metric = Metric::default();
        metric.set_label(labels);
        let mut gauge = Gauge::default();
        gauge.set_value(row.value as f64);
        metric.set_gauge(gauge);
        let mut counter = Counter::default();
        counter.set_value(row.value as f64);
        metric.set_counter(counter);
        metric
    };
    let families: Vec<MetricFamily> = families
        .iter()
        .filter(|family| !family.rows.is_empty())
        .map(|family| {
            let mut out = MetricFamily::default();
            out.set_name(family.name.clone());
            out.set_help(family.help.clone());
            out.set_field_type(match family.counter {
                true => MetricType::COUNTER,
                false => MetricType::GAUGE,
            });
            out.set_metric(family.rows.iter().map(metric).collect());
            out
        })
        .collect();
    TextEncoder::new().encode_to_string(&families).unwrap()
}

/// A label's value: mostly what needs escaping, and bytes that are no UTF-8.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(b'"'),
        Just(b'\\'),
        Just(b'\n'),
        Just(b'{'),
        Just(b','),
        Just(0xc3),
        any::<u8>(),
    ];
    prop_oneof![
        prop::collection::vec(byte, 0..20),
        "\\PC{0,12}".prop_map(String::into_bytes),
    ]
}

fn family() -> impl Strategy<Value = Family> {
    let exact = -(1i64 << 53)..=1 << 53;
    let row = (
        prop::option::weighted(0.9, [value(), value(), value()]),
        prop::option::of(value()),
        prop_oneof![exact, -9i64..100],
    )
        .prop_map(|(identity, tail, value)| Row {
            identity,
            tail,
            value,
        });
    (
        "[a-z_:][a-z0-9_:]{0,20}",
        // Without a HELP text the crate leaves the line out; ours always have one.
        "[\\n\"\\\\a-z ü]{1,20}",
        any::<bool>(),
        prop::collection::vec(row, 0..8),
    )
        .prop_map(|(name, help, counter, rows)| Family {
            name,
            help,
            counter,
            rows,
        })
}

proptest! {
    #[test]
    fn any_families_come_out_as_the_prometheus_crate_writes_them(
        families in prop::collection::vec(family(), 0..6)
    ) {
        let (text, series) = ours(&families);
        prop_assert_eq!(text, theirs(&families));
        let rows: usize = families.iter().map(|family| family.rows.len()).sum();
        prop_assert_eq!(series, rows as u64);
    }
}

#[test]
fn numbers_beyond_what_a_float_holds_stay_exact() {
    let mut out = String::new();
    let mut encoder = Encoder::new(&mut out);
    let mut family = encoder.family("a", "b", Kind::Counter);
    family.sample(&Labels::new(), &Tail::NONE, Number::Unsigned(u64::MAX));
    family.sample(&Labels::new(), &Tail::NONE, Number::Negative(i64::MIN));
    drop(family);
    assert_eq!(
        out,
        "# HELP a b\n# TYPE a counter\na 18446744073709551615\na -9223372036854775808\n"
    );
}

#[test]
fn a_family_without_a_sample_leaves_nothing() {
    let mut out = "before\n".to_owned();
    let mut encoder = Encoder::new(&mut out);
    drop(encoder.family("a", "b", Kind::Gauge));
    assert_eq!(encoder.series(), 0);
    assert_eq!(out, "before\n");
}
