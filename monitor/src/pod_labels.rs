//! Which labels and annotations of pods are published: chosen by `--pod-labels` and
//! `--pod-annotations`, named as kube-state-metrics names them.

use std::sync::Arc;

/// The chosen labels and annotations, in the order in which they are published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodLabels {
    chosen: Vec<Chosen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Chosen {
    key: String,
    kind: Kind,
    /// Name of the Prometheus label.
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Label,
    Annotation,
}

/// The values of one pod, in the order of [`PodLabels::names`]; none at all where nothing is known
/// of it. Those of a pod's containers are the same, so that they share them.
pub type PodLabelValues = Arc<[String]>;

/// What is wrong with a choice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodLabelsError {
    /// No pod can have such a key.
    #[error("{flag}: {key:?} is no key of a pod's, such as app.kubernetes.io/name")]
    Key {
        /// The flag it was given to.
        flag: &'static str,
        /// As given.
        key: String,
    },
    /// Two keys would be one label of Prometheus.
    #[error("{flag}: {first:?} and {second:?} would both be published as {name}, leave one out")]
    Collision {
        /// The flag they were given to.
        flag: &'static str,
        /// The key that came first.
        first: String,
        /// The other one.
        second: String,
        /// What both become.
        name: String,
    },
}

impl PodLabels {
    /// The choice of these labels and annotations. One that is named twice is published once.
    ///
    /// # Errors
    /// A text that is no key, or two that become the same label.
    pub fn new(labels: &[String], annotations: &[String]) -> Result<Self, PodLabelsError> {
        let mut chosen: Vec<Chosen> = Vec::new();
        for (flag, kind, prefix, keys) in [
            ("--pod-labels", Kind::Label, "label_", labels),
            (
                "--pod-annotations",
                Kind::Annotation,
                "annotation_",
                annotations,
            ),
        ] {
            for key in keys {
                let key = key.trim();
                if !is_key(key) {
                    let key = key.to_owned();
                    return Err(PodLabelsError::Key { flag, key });
                }
                let name = format!("{prefix}{}", sanitised(key));
                match chosen.iter().find(|earlier| earlier.name == name) {
                    None => chosen.push(Chosen {
                        key: key.to_owned(),
                        kind,
                        name,
                    }),
                    Some(earlier) if earlier.key == key => {}
                    Some(earlier) => {
                        return Err(PodLabelsError::Collision {
                            flag,
                            first: earlier.key.clone(),
                            second: key.to_owned(),
                            name,
                        });
                    }
                }
            }
        }
        Ok(Self { chosen })
    }

    /// The names of the labels of Prometheus.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.chosen.iter().map(|chosen| &*chosen.name)
    }

    /// What a pod has of them, empty where it has none; `label` and `annotation` look a key up.
    pub fn values<'a>(
        &self,
        label: impl Fn(&str) -> Option<&'a [u8]>,
        annotation: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> PodLabelValues {
        let value = |chosen: &Chosen| match chosen.kind {
            Kind::Label => label(&chosen.key),
            Kind::Annotation => annotation(&chosen.key),
        };
        let values = self.chosen.iter().map(value);
        values
            .map(|value| String::from_utf8_lossy(value.unwrap_or_default()).into_owned())
            .collect()
    }

    /// Each name with a container's value for it.
    pub fn named<'a>(&'a self, values: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let values = values.iter().map(String::as_str);
        self.names().zip(values.chain(std::iter::repeat("")))
    }
}

/// Whether it may be a key: `[prefix/]name` of letters, digits, dashes, underscores and dots.
fn is_key(key: &str) -> bool {
    let is_part = |part: &str| {
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        edge(part.bytes().next()) && edge(part.bytes().last()) && part.bytes().all(inner)
    };
    match key.split_once('/') {
        Some((prefix, name)) => is_part(prefix) && is_part(name),
        None => is_part(key),
    }
}

/// A key as part of a label's name, as kube-state-metrics makes it: in snake case, with an underscore
/// for what a name cannot have.
fn sanitised(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    let mut before = None;
    for c in key.chars() {
        let begins_word = |last: char| last.is_ascii_lowercase() || last.is_ascii_digit();
        if c.is_ascii_uppercase() && before.is_some_and(begins_word) {
            name.push('_');
        }
        name.push(match c {
            c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
            _ => '_',
        });
        before = Some(c);
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::PodLabels;

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|&key| key.to_owned()).collect()
    }

    fn refused(labels: &[&str], annotations: &[&str]) -> String {
        let error = PodLabels::new(&keys(labels), &keys(annotations)).unwrap_err();
        error.to_string()
    }

    #[test]
    fn values_stand_under_the_names_of_kube_state_metrics() {
        let chosen = PodLabels::new(
            &keys(&["app.kubernetes.io/name", "tier", " tier"]),
            &keys(&["tier", "example.com/Team"]),
        )
        .unwrap();
        let of = |pairs: &[(&'static str, &'static [u8])]| -> BTreeMap<&str, &[u8]> {
            pairs.iter().copied().collect()
        };
        let labels = of(&[("tier", b"back\xff"), ("other", b"no")]);
        let annotations = of(&[
            ("example.com/Team", b"pay"),
            ("app.kubernetes.io/name", b"no"),
        ]);
        let values = chosen.values(
            |key| labels.get(key).copied(),
            |key| annotations.get(key).copied(),
        );
        let named: Vec<_> = chosen.named(&values).collect();
        assert_eq!(
            named,
            [
                ("label_app_kubernetes_io_name", ""),
                ("label_tier", "back\u{fffd}"),
                ("annotation_tier", ""),
                ("annotation_example_com_team", "pay"),
            ]
        );
        // Of what no pod is known every label is there all the same.
        assert!(chosen.named(&[]).all(|(_, value)| value.is_empty()));
        assert_eq!(chosen.named(&[]).count(), 4);
    }

    #[test]
    fn names_are_in_snake_case() {
        for (key, name) in [
            ("costCenter", "label_cost_center"),
            ("CostCenter", "label_cost_center"),
            ("example.com/ownerID", "label_example_com_owner_id"),
            ("v2Beta", "label_v2_beta"),
            ("HTTPPort", "label_httpport"),
            ("a_B-C", "label_a_b_c"),
        ] {
            let chosen = PodLabels::new(&keys(&[key]), &[]).unwrap();
            assert!(chosen.names().eq([name]), "{key}: {chosen:?}");
        }
    }

    #[test]
    fn what_cannot_be_chosen() {
        for key in ["", "*", "a b", "a/", "/a", "a/b/c", "-a", "tier=x", "ä"] {
            let error = refused(&[key], &[]);
            assert!(error.starts_with("--pod-labels: "), "{error}");
            assert!(error.contains(&format!("{key:?}")), "{error}");
        }
        assert!(refused(&[], &["é"]).starts_with("--pod-annotations: "));
        let error = refused(&["a.b", "c", "a-b"], &[]);
        assert!(
            error.contains("\"a.b\" and \"a-b\"") && error.contains("label_a_b"),
            "{error}"
        );
        for (first, second) in [
            ("myTeam", "my-team"),
            ("Team", "team"),
            ("team-A", "team.a"),
        ] {
            let error = refused(&[first, second], &[]);
            assert!(error.contains("would both be published"), "{error}");
        }
        // A label and an annotation never meet.
        PodLabels::new(&keys(&["a"]), &keys(&["a"])).unwrap();
    }
}
