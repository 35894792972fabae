//! The text of one collection, and what stands where in it: all outputs are made from it.
//!
//! A scrape in the text format gets it as it is. What wants another form (another format, some of
//! the families, a push) walks its families and samples, so that every way out shows the same
//! numbers of the same moment.

use std::borrow::Cow;
use std::ops::Range;

use super::Kind;

/// The text format 0.0.4 of one collection, with an index of its families.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    families: Vec<Span>,
}

/// Where a family stands.
#[derive(Debug)]
struct Span {
    name: Range<usize>,
    help: Range<usize>,
    kind: Kind,
    samples: Range<usize>,
}

/// How a family begins; a newline within a help text or label value is escaped, so that this is
/// found nowhere else.
const HELP: &str = "# HELP ";
const TYPE: &str = "# TYPE ";

impl Exposition {
    /// Indexes a text that this exporter wrote: each family one HELP line, one TYPE line and its
    /// samples, every line ended by a newline. What has another shape is in the text, and in no
    /// family.
    pub fn new(text: String) -> Self {
        let begins = memchr::memmem::find_iter(text.as_bytes(), HELP)
            .filter(|&at| at == 0 || text.as_bytes()[at - 1] == b'\n');
        let mut starts: Vec<usize> = begins.collect();
        starts.push(text.len());
        let families = starts
            .windows(2)
            .filter_map(|bounds| span(&text, bounds[0]..bounds[1]))
            .collect();
        Self { text, families }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The families, in the order of the text.
    pub fn families(&self) -> impl Iterator<Item = Family<'_>> {
        self.families.iter().map(|span| Family {
            name: &self.text[span.name.clone()],
            help: &self.text[span.help.clone()],
            kind: span.kind,
            samples: &self.text[span.samples.clone()],
        })
    }

    /// The family `name`, where it has samples.
    pub fn family(&self, name: &str) -> Option<Family<'_>> {
        self.families().find(|family| family.name == name)
    }
}

fn span(text: &str, bounds: Range<usize>) -> Option<Span> {
    let family = &text[bounds.clone()];
    let (help_line, rest) = family.split_once('\n')?;
    let (type_line, _) = rest.split_once('\n')?;
    let (name, help) = help_line.strip_prefix(HELP)?.split_once(' ')?;
    let kind = match type_line
        .strip_prefix(TYPE)?
        .strip_prefix(name)?
        .strip_prefix(' ')?
    {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        _ => return None,
    };
    let name_start = bounds.start + HELP.len();
    let help_end = bounds.start + help_line.len();
    Some(Span {
        name: name_start..name_start + name.len(),
        help: help_end - help.len()..help_end,
        kind,
        samples: help_end + 1 + type_line.len() + 1..bounds.end,
    })
}

/// One family of an [`Exposition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its help text, escaped as the text format has it.
    pub help: &'a str,
    /// Its type.
    pub kind: Kind,
    /// The lines of its samples, each ended by a newline.
    pub samples: &'a str,
}

impl<'a> Family<'a> {
    /// Its help text, unescaped.
    pub fn description(&self) -> Cow<'a, str> {
        unescape(self.help)
    }

    /// Its samples, in the order of the text.
    pub fn samples(&self) -> impl Iterator<Item = Sample<'a>> + use<'a> {
        let name = self.name;
        self.samples
            .lines()
            .filter_map(move |line| Sample::parse(line.strip_prefix(name)?))
    }
}

/// One sample of a [`Family`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    labels: &'a str,
    /// Its value, as it is written.
    pub value: &'a str,
}

impl<'a> Sample<'a> {
    /// What follows a name: `{labels} value`, or ` value`.
    fn parse(line: &'a str) -> Option<Self> {
        // A value holds no blank, so that the last one is before it.
        let (labels, value) = line.rsplit_once(' ')?;
        let labels = match labels {
            "" => labels,
            _ => labels.strip_prefix('{')?.strip_suffix('}')?,
        };
        Some(Self { labels, value })
    }

    /// Its value; NaN where it is no number.
    pub fn number(&self) -> f64 {
        self.value.parse().unwrap_or(f64::NAN)
    }

    /// Its labels, in the order of the text, their values unescaped.
    pub fn labels(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> + use<'a> {
        let mut rest = self.labels;
        std::iter::from_fn(move || {
            let (name, after) = rest.split_once("=\"")?;
            let end = end_of_value(after)?;
            let value = unescape(&after[..end]);
            rest = after[end + 1..].trim_start_matches(',');
            Some((name, value))
        })
    }

    /// The value of the label `name`; empty where there is none, which Prometheus takes for the
    /// same.
    pub fn label(&self, name: &str) -> Cow<'a, str> {
        let found = self.labels().find(|(label, _)| *label == name);
        found.map(|(_, value)| value).unwrap_or_default()
    }
}

/// Where the quote stands that ends a label's value.
pub(super) fn end_of_value(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', &text.as_bytes()[from..])?;
        if text.as_bytes()[at] == b'"' {
            return Some(at);
        }
        // An escaped character is one byte.
        from = at + 2;
        if from > text.len() {
            return None;
        }
    }
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        match char {
            '\\' => plain.extend(rest.next().map(|escaped| match escaped {
                'n' => '\n',
                other => other,
            })),
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests;
