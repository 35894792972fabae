//! What a selector means, and what is none.

use proptest::prelude::*;

use super::{Selector, SelectorError};
use crate::container::{Container, PodRef};
use crate::testing::plain;

fn docker(name: &str, image: &str) -> Container {
    Container {
        image: image.to_owned(),
        ..plain("1", name)
    }
}

fn pod(namespace: &str, pod: &str, container: &str) -> Container {
    Container {
        pod: Some(PodRef {
            namespace: namespace.to_owned(),
            name: pod.to_owned(),
            container: container.to_owned(),
        }),
        sandbox: container.is_empty(),
        ..docker("k8s_whatever", "registry/app:1")
    }
}

fn matches(selector: &str, container: &Container) -> bool {
    Selector::parse(selector).unwrap().matches(container)
}

#[test]
fn the_four_operators_compare_whole_values() {
    let web = docker("web-1", "nginx:1.29");
    for (selector, expected) in [
        ("container=web-1", true),
        ("container=web", false),
        ("container!=web", true),
        ("container=~web", false),
        ("container=~web-.*", true),
        ("container=~\"web-\\d\"", true),
        ("container!~\"web-\\d\"", false),
        ("image=~\"(.*/)?nginx:.*\"", true),
        ("namespace=\"\"", true),
        ("namespace=", true),
        ("pod!=\"\"", false),
        // An alternative is bounded on both sides too.
        ("container=~\"web|db\"", false),
    ] {
        assert_eq!(matches(selector, &web), expected, "{selector}");
    }
}

#[test]
fn all_conditions_of_a_selector_count() {
    let cart = pod("shop-eu", "cart-0", "app");
    for (selector, expected) in [
        ("namespace=~shop-.*,container=app", true),
        ("{ namespace =~ \"shop-.*\" , container = \"app\", }", true),
        ("namespace=~shop-.*,container=proxy", false),
        ("pod=~\"cart-[0-9]{1,2}\",container!=proxy", true),
        ("image=registry/app:1", true),
    ] {
        assert_eq!(matches(selector, &cart), expected, "{selector}");
    }
}

#[test]
fn a_sandbox_has_a_pod_and_nothing_else() {
    let sandbox = pod("shop", "cart-0", "");
    assert!(matches(
        "namespace=shop,container=\"\",image=\"\"",
        &sandbox
    ));
    assert!(!matches("container=~.+", &sandbox));
}

#[test]
fn what_is_wrong_is_named() {
    for (text, expected) in [
        ("", "no label \"\""),
        ("web", "no label \"web\""),
        ("^kube-", "no label \"^kube-\""),
        ("name=web", "no label \"name\""),
        ("pod", "=, !=, =~ or !~ after pod"),
        ("pod~x", "=, !=, =~ or !~ after pod"),
        ("pod=\"x", "pod has no closing quote"),
        ("pod=\"x\\", "pod has no closing quote"),
        ("pod=x\"y\"", "before \"\\\"y\\\"\""),
        ("pod=\"x\" container=y", "before \"container=y\""),
        ("pod=a,,container=b", "no label"),
        ("pod=~(", "pod: "),
        ("pod=~\"a)(b\"", "pod: "),
        // A comma ends a value that is not in quotes.
        ("pod=~x{1,2}", "pod: "),
    ] {
        let error = Selector::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    assert!(matches!(
        Selector::parse("x=y"),
        Err(SelectorError::Label(label)) if label == "x"
    ));
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,40}") {
        let _ = Selector::parse(&text);
    }

    #[test]
    fn any_value_in_quotes_is_that_value(name in "\\PC{0,20}", other in "\\PC{0,20}") {
        let text = format!("container=\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        let selector = Selector::parse(&text).unwrap();
        prop_assert!(selector.matches(&docker(&name, "")));
        prop_assert_eq!(selector.matches(&docker(&other, "")), name == other);
    }

    #[test]
    fn an_operator_and_its_negation_are_opposites(
        name in "[a-c]{0,3}",
        value in "[a-c]{0,2}",
        regex in any::<bool>(),
    ) {
        let container = docker(&name, "");
        let (is, is_not) = if regex { ("=~", "!~") } else { ("=", "!=") };
        let of = |operator: &str| matches(&format!("container{operator}{value}"), &container);
        prop_assert_ne!(of(is), of(is_not));
        prop_assert_eq!(of(is), name == value);
    }
}
