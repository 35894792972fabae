//! What stays and what goes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use testkit::metrics::Metrics;

use super::{Ages, Shown};
use crate::metrics::{CadvisorLabels, Encoder, Identity, Kind, Labels, Tail};
use crate::procfs::Number;

fn identity(name: &str) -> Labels {
    let identity = Identity {
        container: name.to_owned(),
        ..Identity::default()
    };
    identity.labels()
}

/// A text with as many series of each container as it says, spread over two families, and three
/// of the host.
fn text(containers: &[(&str, usize)]) -> String {
    let mut out = String::new();
    let mut encoder = Encoder::new(&mut out);
    for (name, part) in [("a", 0), ("b", 1)] {
        let mut family = encoder.family(name, "Help", Kind::Gauge);
        for (container, count) in containers {
            for at in (0..*count).filter(|at| at % 2 == part) {
                let tail = Tail::label("at", &at.to_string());
                family.sample(&identity(container), &tail, Number::Unsigned(1));
            }
        }
    }
    let mut family = encoder.family("host", "Help", Kind::Gauge);
    for level in ["low", "{", "high"] {
        let tail = Tail::label("level", level);
        family.sample(&Labels::new(), &tail, Number::Unsigned(1));
    }
    drop(family);
    out
}

fn ages<'a>(names: impl IntoIterator<Item = &'a str>) -> Ages {
    let mut ages = Ages::default();
    for (place, name) in names.into_iter().enumerate() {
        ages.add(&identity(name), place);
    }
    ages
}

/// How many series each container has; the host's stand under nothing.
fn counts(text: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for sample in Metrics::parse(text).unwrap().samples {
        let name = sample.labels.get("container").cloned();
        *counts.entry(name.unwrap_or_default()).or_default() += 1;
    }
    counts
}

#[test]
fn the_oldest_stay_whole() {
    let containers = [("one\"},{x=\"", 4), ("two", 5), ("three", 1)];
    let ages = ages(["two", "one\"},{x=\"", "three"]);
    for (limit, expected) in [
        (100, vec![("two", 5), ("one\"},{x=\"", 4), ("three", 1)]),
        (13, vec![("two", 5), ("one\"},{x=\"", 4), ("three", 1)]),
        (12, vec![("two", 5), ("one\"},{x=\"", 4)]),
        // The smaller one would fit, but is younger than one that does not.
        (11, vec![("two", 5)]),
        (8, vec![("two", 5)]),
        (7, vec![]),
        (0, vec![]),
    ] {
        let mut text = text(&containers);
        let dropped = Shown::default().shorten(&mut text, limit, &ages);
        let left: usize = expected.iter().map(|(_, count)| count).sum();
        assert_eq!(dropped as usize, 10 - left, "{limit}");
        let mut found = counts(&text);
        assert_eq!(found.remove(""), Some(3), "{limit}");
        let expected: BTreeMap<_, _> = expected
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
        assert_eq!(found, expected, "{limit}");
        // A family without a sample has no head either.
        assert_eq!(text.contains("# TYPE a "), left > 0, "{limit}");
        assert_eq!(
            text.matches("# HELP").count(),
            text.matches("# TYPE").count()
        );
    }
}

#[test]
fn the_last_family_leaves_nothing_behind_either() {
    let mut text = text(&[("one", 1)]);
    let end = text.find("# HELP host").unwrap();
    text.truncate(end);
    assert_eq!(Shown::default().shorten(&mut text, 0, &ages(["one"])), 1);
    assert_eq!(text, "");
}

#[test]
fn labels_of_cadvisor_say_whose_a_series_is() {
    // Processes without a runtime may share a cgroup.
    let row = |name: &str| {
        let labels = CadvisorLabels {
            id: "/user.slice".to_owned(),
            name: name.to_owned(),
            ..CadvisorLabels::default()
        };
        labels.labels()
    };
    let mut ages = Ages::default();
    ages.add(&row("two"), 1);
    ages.add(&row("one"), 0);
    let mut text = String::new();
    let mut encoder = Encoder::new(&mut text);
    let mut family = encoder.family("a", "Help", Kind::Gauge);
    for id in ["one", "two", "host"] {
        family.sample(&row(id), &Tail::NONE, Number::Unsigned(1));
    }
    drop(family);
    assert_eq!(Shown::default().shorten(&mut text, 2, &ages), 1);
    assert!(
        text.contains("name=\"one\"") && text.contains("name=\"host\""),
        "{text}"
    );
    assert!(!text.contains("two"), "{text}");
}

/// A container's series come and go; who is shown does not, as long as that is possible.
#[test]
fn who_is_shown_does_not_flap() {
    let ages = ages(["one", "two", "three"]);
    let mut shown = Shown::default();
    let mut left = |two: usize, three: usize| {
        let mut text = text(&[("one", 60), ("two", two), ("three", three)]);
        shown.shorten(&mut text, 100, &ages);
        let mut found = counts(&text);
        found.remove("");
        found.into_keys().collect::<Vec<_>>()
    };
    // With the three of the host it is 98.
    assert_eq!(left(20, 15), ["one", "three", "two"]);
    assert_eq!(left(22, 15), ["one", "three", "two"]);
    assert_eq!(left(23, 15), ["one", "two"]);
    // One series less, and it would fit again: the next time it would not.
    for two in [22, 23, 20, 24, 18] {
        assert_eq!(left(two, 15), ["one", "two"], "{two}");
    }
    // With room for more it comes, and stays.
    assert_eq!(left(17, 15), ["one", "three", "two"]);
    assert_eq!(left(22, 15), ["one", "three", "two"]);
    // Where not even those fit that were shown, fewer are.
    assert_eq!(left(38, 15), ["one"]);
    assert_eq!(left(37, 0), ["one"]);
    assert_eq!(left(32, 15), ["one", "two"]);
}

/// What there is of a collection under way shows nobody else.
#[test]
fn a_part_of_a_text_shows_no_others() {
    let ages = ages(["one", "two"]);
    let whole = [("one", 60), ("two", 40)];
    let mut shown = Shown::default();
    shown.shorten(&mut text(&whole), 100, &ages);
    let mut part = text(&[("one", 6), ("two", 4)]);
    assert_eq!(shown.shorten_part(&mut part, 100, &ages), 4);
    assert!(!part.contains("two"), "{part}");
    let mut part = text(&whole);
    assert_eq!(Shown::default().shorten_part(&mut part, 100, &ages), 40);
    let mut part = text(&[("one", 6), ("two", 4)]);
    assert_eq!(Shown::default().shorten_part(&mut part, 100, &ages), 0);
}

proptest! {
    #[test]
    fn never_more_than_the_limit_and_always_the_oldest(
        sizes in proptest::collection::vec(0usize..6, 0..8),
        limit in 3u64..40,
    ) {
        let names: Vec<String> = (0..sizes.len()).map(|at| format!("c{at}")).collect();
        let containers: Vec<(&str, usize)> =
            names.iter().map(String::as_str).zip(sizes.iter().copied()).collect();
        let mut text = text(&containers);
        let before = Metrics::parse(&text).unwrap().samples.len() as u64;
        let dropped = Shown::default().shorten(&mut text, limit, &ages(names.iter().map(String::as_str)));
        let after = Metrics::parse(&text).unwrap().samples.len() as u64;
        prop_assert_eq!(before - after, dropped);
        prop_assert!(after <= limit);
        let found = counts(&text);
        let mut sum = 3;
        for (name, size) in &containers {
            sum += *size as u64;
            let kept = if sum <= limit { *size } else { 0 };
            prop_assert_eq!(found.get(*name).copied().unwrap_or(0), kept);
        }
    }
}
