//! Labels as they stand in the text format, escaped once and written many times.
//!
//! A [`Labels`] can only be made through escaping, so whatever bytes a container's name is made
//! of, it cannot break the exposition. Which labels a series carries stands in the metric tables.

use std::borrow::Cow;

/// Who a series speaks of: the three labels of every workload series, and the only ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Kubernetes namespace, else empty.
    pub namespace: String,
    /// Pod name, else empty.
    pub pod: String,
    /// Container name; empty for what belongs to a whole pod.
    pub container: String,
}

impl Identity {
    /// The labels, escaped.
    pub fn labels(&self) -> Labels {
        Labels::new()
            .with("namespace", &self.namespace)
            .with("pod", &self.pod)
            .with("container", &self.container)
    }
}

/// A set of labels, escaped, as the text format has it.
///
/// Without the closing brace, so that the labels of one row can be followed by those of one
/// series: `{namespace="",pod="",container="web"` and then a [`Tail`] such as
/// `,protocol="tcp"} `. No labels at all are the empty string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels(String);

impl Labels {
    /// No labels.
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// Adds a label. `name` is a valid label name: it comes from a table or is
    /// made of what names may have; the value is escaped.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.push(name, value);
        self
    }

    /// Adds a label, as [`Labels::with`].
    pub fn push(&mut self, name: &str, value: &str) {
        debug_assert!(is_label_name(name), "no label name: {name:?}");
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        push_label(&mut self.0, name, value);
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The end of a sample's label set, prepared once for each series of a family: the labels that
/// the family adds to the row's, the closing brace and the space before the value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tail(Cow<'static, str>);

impl Tail {
    /// No label more.
    pub const NONE: Self = Self(Cow::Borrowed("} "));

    /// One label more.
    pub fn label(name: &'static str, value: &str) -> Self {
        Self::labels([(name, value)])
    }

    /// Several labels more.
    pub fn labels<'a>(labels: impl IntoIterator<Item = (&'static str, &'a str)>) -> Self {
        let mut text = String::new();
        for (name, value) in labels {
            debug_assert!(is_label_name(name), "no label name: {name:?}");
            text.push(',');
            push_label(&mut text, name, value);
        }
        text.push_str("} ");
        Self(Cow::Owned(text))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn push_label(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str("=\"");
    push_escaped(out, value, true);
    out.push('"');
}

/// Appends `text` with backslash and newline escaped, and the double quote where it stands in a
/// label's value (HELP texts keep theirs).
pub(super) fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    let mut rest = text;
    while let Some(at) = rest.find(|c| matches!(c, '\\' | '\n') || (quotes && c == '"')) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'\n' => "\\n",
            b'"' => "\\\"",
            _ => "\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::{Identity, Labels, Tail};

    #[test]
    fn values_are_escaped() {
        let identity = Identity {
            namespace: String::new(),
            pod: "a\"b\\c\nd".to_owned(),
            container: "täglich".to_owned(),
        };
        assert_eq!(
            identity.labels().as_str(),
            r#"{namespace="",pod="a\"b\\c\nd",container="täglich""#
        );
        assert_eq!(Tail::label("state", "\\\"").as_str(), r#",state="\\\""} "#);
        assert_eq!(Tail::NONE.as_str(), "} ");
        assert_eq!(Labels::new().as_str(), "");
    }
}
