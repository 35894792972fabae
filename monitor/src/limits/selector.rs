//! Conditions on a container's labels, in the syntax of PromQL's selectors.

use std::fmt;

use regex_lite::Regex;

use crate::container::Container;

/// What a condition can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Namespace,
    Pod,
    Container,
    Image,
}

impl Label {
    const ALL: [Self; 4] = [Self::Namespace, Self::Pod, Self::Container, Self::Image];

    fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Pod => "pod",
            Self::Container => "container",
            Self::Image => "image",
        }
    }

    /// The label's value; that of a sandbox's container and image is empty, as it is published.
    fn of(self, container: &Container) -> &str {
        let pod = container.pod.as_ref();
        match self {
            Self::Namespace => pod.map_or("", |pod| &pod.namespace),
            Self::Pod => pod.map_or("", |pod| &pod.name),
            _ if container.sandbox => "",
            Self::Container => pod.map_or(&container.name, |pod| &pod.container),
            Self::Image => &container.image,
        }
    }
}

/// How a value is compared.
#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    /// The whole value, as Prometheus matches.
    Matches(Regex),
}

#[derive(Clone, Debug)]
struct Condition {
    label: Label,
    is_negated: bool,
    test: Test,
}

impl Condition {
    fn is_met(&self, container: &Container) -> bool {
        let value = self.label.of(container);
        let is_met = match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::Matches(regex) => regex.is_match(value),
        };
        is_met != self.is_negated
    }
}

/// Why a selector is none.
#[derive(Debug, thiserror::Error)]
pub enum SelectorError {
    /// What should be a label's name is none.
    #[error("there is no label {0:?} (namespace, pod, container or image)")]
    Label(String),
    /// No operator follows the name.
    #[error("expected =, !=, =~ or !~ after {0}")]
    Operator(LabelName),
    /// A quoted value has no end.
    #[error("the value of {0} has no closing quote")]
    Quote(LabelName),
    /// Something else than a comma follows a value.
    #[error("expected a comma before {0:?}; a value with commas or quotes is written in quotes")]
    Comma(String),
    /// The regular expression is none.
    #[error("{label}: {source}")]
    Regex {
        /// Where it stands.
        label: LabelName,
        /// What is wrong with it.
        source: regex_lite::Error,
    },
}

/// The name of a label in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelName(Label);

impl fmt::Display for LabelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Conditions that a container has to meet, all of them.
#[derive(Clone, Debug)]
pub struct Selector(Vec<Condition>);

impl Selector {
    /// Reads conditions such as `namespace=~"kube-.*",container!=proxy`: a label, one of PromQL's
    /// operators, and a value, in double quotes (with `\"` and `\\` in it) or without. Braces
    /// around all of it are allowed.
    ///
    /// # Errors
    /// The text is something else.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let text = text.trim();
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let mut rest = inner.unwrap_or(text).trim();
        let mut conditions = Vec::new();
        loop {
            let (condition, after) = condition(rest)?;
            conditions.push(condition);
            rest = after.trim_start();
            match rest.strip_prefix(',') {
                // PromQL allows a comma at the end.
                Some(after) if !after.trim().is_empty() => rest = after.trim_start(),
                Some(_) => break,
                None if rest.is_empty() => break,
                None => return Err(SelectorError::Comma(rest.to_owned())),
            }
        }
        Ok(Self(conditions))
    }

    /// Whether a container meets all conditions.
    pub fn matches(&self, container: &Container) -> bool {
        self.0.iter().all(|condition| condition.is_met(container))
    }
}

/// The condition that `text` begins with, and what follows it.
fn condition(text: &str) -> Result<(Condition, &str), SelectorError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let label = Label::ALL.into_iter().find(|label| label.as_str() == name);
    // What is no name at all is shown as it is.
    let shown = || if name.is_empty() { text } else { name }.to_owned();
    let label = label.ok_or_else(|| SelectorError::Label(shown()))?;
    let rest = rest.trim_start();
    let operators = [("=~", false, true), ("!~", true, true), ("!=", true, false)];
    let operators = operators.into_iter().chain([("=", false, false)]);
    let mut found = operators.filter_map(|(operator, is_negated, is_regex)| {
        Some((rest.strip_prefix(operator)?, is_negated, is_regex))
    });
    let (rest, is_negated, is_regex) = found
        .next()
        .ok_or(SelectorError::Operator(LabelName(label)))?;
    let rest = rest.trim_start();
    let (value, rest) = match rest.strip_prefix('"') {
        Some(rest) => quoted(rest).ok_or(SelectorError::Quote(LabelName(label)))?,
        None => {
            let end = rest.find([',', '"']).unwrap_or(rest.len());
            (rest[..end].trim_end().to_owned(), &rest[end..])
        }
    };
    let test = if is_regex {
        Test::Matches(whole(&value).map_err(|source| SelectorError::Regex {
            label: LabelName(label),
            source,
        })?)
    } else {
        Test::Equal(value)
    };
    let condition = Condition {
        label,
        is_negated,
        test,
    };
    Ok((condition, rest))
}

/// A value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                escaped @ ('"' | '\\') => value.push(escaped),
                // A regular expression's own, as it is: nobody wants to write \\d here.
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

/// An expression that has to match the whole value.
fn whole(regex: &str) -> Result<Regex, regex_lite::Error> {
    // On its own first: "a)(b" must not become right by what is put around it.
    Regex::new(regex)?;
    Regex::new(&format!("^(?s:{regex})$"))
}

#[cfg(test)]
mod tests;
