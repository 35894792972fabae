//! Tests of the parent module.

use std::borrow::Cow;

use proptest::prelude::{any, proptest};

use super::Exposition;
use crate::metrics::own::{BuildInfo, OwnMetrics, OwnStatus};
use crate::metrics::{Encoder, Identity, Kind, Tail};
use crate::procfs::Number;

fn one_sample(identity: &Identity, tail: &str) -> Exposition {
    let mut out = String::new();
    let mut encoder = Encoder::new(&mut out);
    encoder
        .family("a_total", "counts \\ # HELP\nlines", Kind::Counter)
        .sample(
            &identity.labels(),
            &Tail::label("tail", tail),
            Number::Negative(-7),
        );
    encoder.family("empty", "leaves nothing", Kind::Gauge);
    encoder.family("b", "is plain", Kind::Gauge).sample(
        &super::super::Labels::new(),
        &Tail::NONE,
        Number::Unsigned(3),
    );
    Exposition::new(out)
}

#[test]
fn families_are_found_with_their_samples() {
    let exposition = one_sample(&Identity::default(), "x");
    let families: Vec<_> = exposition
        .families()
        .map(|family| {
            (
                family.name,
                family.help,
                family.kind,
                family.samples().count(),
            )
        })
        .collect();
    assert_eq!(
        families,
        [
            ("a_total", r"counts \\ # HELP\nlines", Kind::Counter, 1),
            ("b", "is plain", Kind::Gauge, 1),
        ]
    );
    let plain = exposition.family("b").unwrap();
    assert_eq!(plain.samples, "b 3\n");
    let sample = plain.samples().next().unwrap();
    assert_eq!((sample.labels().count(), sample.number()), (0, 3.0));
    assert_eq!(exposition.family("empty"), None);
}

#[test]
fn the_families_of_the_prometheus_crate_are_found_too() {
    let mut out = String::new();
    let own = OwnMetrics::new(BuildInfo::default()).unwrap();
    own.render(&OwnStatus::default(), &mut out).unwrap();
    let names = out.matches("# TYPE ").count();
    let exposition = Exposition::new(out);
    assert_eq!(exposition.families().count(), names);
    for family in exposition.families() {
        assert_eq!(family.samples().count(), family.samples.lines().count());
        assert!(family.samples().all(|sample| !sample.number().is_nan()));
    }
}

#[test]
fn what_is_cut_short_is_in_no_family() {
    for text in [
        "",
        "# HELP a b",
        "# HELP a b\n",
        "# HELP a b\n# TYPE b gauge\n",
        "a 1\n",
    ] {
        assert_eq!(
            Exposition::new(text.to_owned()).families().count(),
            0,
            "{text:?}"
        );
    }
    for line in ["a{x=\"1\" 1\n", "a{x=\"\\\n", "a\n"] {
        let text = format!("# HELP a b\n# TYPE a gauge\n{line}");
        let exposition = Exposition::new(text);
        let samples = exposition.families().flat_map(|family| family.samples());
        assert_eq!(samples.count(), 0, "{line:?}");
    }
}

proptest! {
    #[test]
    fn labels_come_back_as_they_went_in(
        namespace in any::<String>(),
        pod in "[a\\\\\"\n{}=, ]*",
        tail in "[\\\\\"n\n# HELP]*",
    ) {
        let identity = Identity { namespace: namespace.clone(), pod: pod.clone(), container: String::new() };
        let exposition = one_sample(&identity, &tail);
        let sample = exposition.family("a_total").unwrap().samples().next().unwrap();
        assert_eq!(sample.label("namespace"), namespace);
        assert_eq!(sample.label("missing"), "");
        let labels: Vec<_> = sample.labels().collect();
        assert_eq!(labels, [
            ("namespace", Cow::Owned(namespace)),
            ("pod", Cow::Owned(pod)),
            ("container", Cow::Borrowed("")),
            ("tail", Cow::Owned(tail)),
        ]);
        assert_eq!(sample.number(), -7.0);
    }
}
