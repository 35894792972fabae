//! A reader of the Prometheus text format, strict and independent of the exporter's writer.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// One line of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Metric name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// Value.
    pub value: f64,
}

/// A scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// All samples, in the order of the text.
    pub samples: Vec<Sample>,
    /// The type of each family.
    pub types: BTreeMap<String, String>,
    /// The help of each family.
    pub help: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads the text format.
    ///
    /// # Errors
    /// When a line is none of the format, or a series comes twice: the message has the line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut metrics = Self::default();
        let mut seen = std::collections::BTreeSet::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                metrics.comment(comment);
                continue;
            }
            let sample = sample(line).with_context(|| format!("can't read {line:?}"))?;
            let key = (sample.name.clone(), sample.labels.clone());
            ensure!(seen.insert(key), "a series comes twice: {line}");
            metrics.samples.push(sample);
        }
        Ok(metrics)
    }

    fn comment(&mut self, comment: &str) {
        let mut words = comment.trim_start().splitn(3, ' ');
        let (word, name, rest) = (words.next(), words.next(), words.next().unwrap_or(""));
        match (word, name) {
            (Some("TYPE"), Some(name)) => self.types.insert(name.into(), rest.into()),
            (Some("HELP"), Some(name)) => self.help.insert(name.into(), rest.into()),
            _ => None,
        };
    }

    /// The samples of one name whose labels include `labels`.
    pub fn matching(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        let mut matching = self.labelled(labels);
        matching.retain(|sample| sample.name == name);
        matching
    }

    /// All samples of one name.
    pub fn series(&self, name: &str) -> Vec<&Sample> {
        let named = self.samples.iter().filter(|sample| sample.name == name);
        named.collect()
    }

    /// The one sample of this name whose labels include `labels`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn one(&self, name: &str, labels: &[(&str, &str)]) -> Result<&Sample> {
        match self.matching(name, labels).as_slice() {
            [sample] => Ok(sample),
            [] => bail!("no series matches {name}{labels:?}"),
            more => bail!("{} series match {name}{labels:?}", more.len()),
        }
    }

    /// The value of the one sample of this name whose labels include `labels`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(self.one(name, labels)?.value)
    }

    /// The sum over all samples of this name whose labels include `labels`; 0 when there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).iter().map(|s| s.value).sum()
    }

    /// The `container` label of the one container in the network namespace `inode`, by
    /// `container_network_info`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn container_in(&self, inode: u64) -> Result<&str> {
        let labels = [("netns", &*inode.to_string())];
        let info = self.one("container_network_info", &labels)?;
        Ok(info.labels.get("container").context("no container label")?)
    }

    /// All samples whose labels include `labels`, whatever their name.
    pub fn labelled(&self, labels: &[(&str, &str)]) -> Vec<&Sample> {
        let has = |sample: &&Sample| {
            let mut labels = labels.iter();
            labels.all(|(l, v)| sample.labels.get(*l).map(String::as_str) == Some(*v))
        };
        self.samples.iter().filter(has).collect()
    }
}

/// Reads `name{label="value",…} value [timestamp]`.
fn sample(line: &str) -> Result<Sample> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    ensure!(!name.is_empty() && name.chars().all(legal), "bad name");
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").context("no label")?;
            ensure!(!label.is_empty() && label.chars().all(legal), "bad label");
            let (value, after) = quoted(after)?;
            let old = labels.insert(label.to_owned(), value);
            ensure!(old.is_none(), "label {label} comes twice");
            rest = after.strip_prefix(',').unwrap_or(after);
            ensure!(
                after.starts_with([',', '}']),
                "no comma after label {label}"
            );
        }
        rest = &rest[1..];
    }
    let mut words = rest.split_ascii_whitespace();
    let value = words.next().context("no value")?;
    // Rust reads "inf", "+Inf" and "NaN" in any case, as the format has them.
    let value = value.parse().with_context(|| format!("value {value:?}"))?;
    if let Some(timestamp) = words.next() {
        timestamp.parse::<i64>().context("bad timestamp")?;
    }
    ensure!(words.next().is_none(), "something after the timestamp");
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Reads a label value up to its closing quote; gives it unescaped, and what follows.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some(c @ ('\\' | '"')) => value.push(c),
                other => bail!("unknown escape {other:?}"),
            },
            c => value.push(c),
        }
    }
    bail!("a label value has no end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_scrape() -> Result<()> {
        let text = "# HELP a_total An a.\n# TYPE a_total counter\n\
            a_total{x=\"1\",y=\"a\\\\b\\\"c\\nd\"} 3\na_total{x=\"2\",y=\"\"} 1e3 1700000000000\n\
            # TYPE b gauge\nb +Inf\nc{} NaN\n";
        let metrics = Metrics::parse(text)?;
        assert_eq!(metrics.types["a_total"], "counter");
        assert_eq!(metrics.help["a_total"], "An a.");
        assert_eq!(metrics.value("a_total", &[("x", "1")])?, 3.0);
        let first = metrics.one("a_total", &[("y", "a\\b\"c\nd")])?;
        assert_eq!(first.labels["x"], "1");
        assert_eq!(metrics.sum("a_total", &[]), 1003.0);
        assert_eq!(metrics.series("a_total").len(), 2);
        assert_eq!(metrics.labelled(&[("x", "2")]).len(), 1);
        assert_eq!(metrics.value("b", &[])?, f64::INFINITY);
        assert!(metrics.value("c", &[])?.is_nan());
        assert!(metrics.value("a_total", &[]).is_err());
        assert!(metrics.value("none", &[]).is_err());
        Ok(())
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "a",
            "a{x=\"1\"}",
            "a{x=\"1} 2",
            "a{x=\"1\" y=\"2\"} 1",
            "a{x=\"1\",x=\"2\"} 1",
            "a{x=\"\\t\"} 1",
            "a-b 1",
            "a one",
            "a 1 2 3",
            "a 1\na 1",
        ] {
            assert!(Metrics::parse(text).is_err(), "{text}");
        }
    }
}
