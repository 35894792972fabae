//! What is pushed passes the transfer's rules, and two series never become one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const METRIC: &str = "container_network_sockets_inuse";

fn tags_of(labels: &[(&str, &str)]) -> String {
    let labels = labels
        .iter()
        .map(|(name, value)| (*name, Cow::from(*value)));
    tags(METRIC, labels).unwrap()
}

/// As the transfer reads tags, strictly.
fn read(tags: &str) -> BTreeMap<&str, &str> {
    assert!(METRIC.len() + tags.len() <= 510);
    assert!(!tags.contains(char::is_whitespace), "{tags:?}");
    let mut found = BTreeMap::new();
    for tag in tags.split(',').filter(|_| !tags.is_empty()) {
        let (name, value) = tag.split_once('=').expect("a pair");
        assert!(!value.is_empty() && !value.contains('='), "{tags:?}");
        assert!(found.insert(name, value).is_none(), "twice in {tags:?}");
    }
    found
}

#[test]
fn usual_names_stay_as_they_are_sorted_and_without_empty_ones() {
    let tags = tags_of(&[
        ("pod", "cart-0"),
        ("namespace", "shop"),
        ("container", ""),
        ("protocol", "tcp"),
    ]);
    assert_eq!(tags, "namespace=shop,pod=cart-0,protocol=tcp");
    assert_eq!(tags_of(&[]), "");
}

#[test]
fn what_cannot_be_carried_is_replaced_and_told_apart() {
    let one = tags_of(&[("container", "a b")]);
    let other = tags_of(&[("container", "a,b")]);
    assert!(one.starts_with("container=a_b~"), "{one}");
    assert!(other.starts_with("container=a_b~") && one != other);
    // A name that looks like a changed one.
    let (_, forged) = one.split_once('=').unwrap();
    assert_ne!(tags_of(&[("container", forged)]), one);
}

#[test]
fn long_names_are_cut_the_longest_first() {
    let long = "p".repeat(400);
    let tags = tags_of(&[("namespace", "shop"), ("pod", &long), ("container", &long)]);
    let found = read(&tags);
    assert_eq!(found["namespace"], "shop");
    assert_eq!(found["pod"].len(), found["container"].len());
    assert!(found["pod"].len() > 64);
}

/// Values of one character that changes nothing, of many, and of those that matter.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ab ,=~_]{0,6}",
        "[a-z]{0,3}~[0-9a-f]{16}",
        "(a|é|,){0,700}",
    ]
}

proptest! {
    #[test]
    fn every_series_passes_and_keeps_to_itself(
        one in prop::collection::vec(value(), 8),
        other in prop::collection::vec(value(), 8),
    ) {
        const NAMES: [&str; 8] = [
            "namespace", "pod", "container", "device", "fs_type", "mount_point", "protocol", "state",
        ];
        let tags = |values: &[String]| {
            let labels: Vec<_> = NAMES.into_iter().zip(values.iter().map(String::as_str)).collect();
            tags_of(&labels)
        };
        let (a, b) = (tags(&one), tags(&other));
        let present = one.iter().filter(|value| !value.is_empty()).count();
        prop_assert_eq!(read(&a).len(), present);
        read(&b);
        prop_assert_eq!(a == b, one == other);
        prop_assert_eq!(&a, &tags(&one));
    }

    #[test]
    fn two_values_are_never_one(one in value(), other in value()) {
        let tags = |value: &str| tags_of(&[("container", value)]);
        prop_assert_eq!(tags(&one) == tags(&other), one == other);
    }
}
