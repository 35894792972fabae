//! The limit of series: what does not fit is taken out of the text, whole containers at a time,
//! the youngest first.
//!
//! It works on the finished text, because only there all series are known, and costs nothing but
//! counting lines as long as they fit. A container that began earlier never gives way to a later
//! one, so that the same ones stay from scrape to scrape.

use std::collections::HashMap;

use super::exposition::end_of_value;
use super::labels::Labels;

/// How many labels say whose a series is: namespace, pod and container.
const IDENTITY: usize = 3;

/// What the labels of [`cadvisor`](super::cadvisor) begin with, and how many those are.
const ID: &str = "id=\"";
const CADVISOR: usize = 6;

/// The owners of series, in the order in which they are kept.
#[derive(Clone, Debug, Default)]
pub struct Ages {
    /// By the text of the labels that say whose a series is.
    places: HashMap<String, usize>,
    count: usize,
}

impl Ages {
    /// Adds the series that begin with `labels`, an identity or cAdvisor's, to those of the owner
    /// at `place`, 0 for the oldest. Labels that are there already stay where they are.
    pub fn add(&mut self, labels: &Labels, place: usize) {
        self.count = self.count.max(place + 1);
        if let Some(key) = key(labels.as_str()) {
            self.places.entry(key.to_owned()).or_insert(place);
        }
    }

    /// Whose a line is; `None` for what is no container's.
    fn place(&self, line: &str) -> Option<usize> {
        self.places.get(key(&line[line.find('{')?..])?).copied()
    }
}

/// The labels that say whose a series is, of the text of its labels from the brace on.
fn key(labels: &str) -> Option<&str> {
    let labels = labels.strip_prefix('{')?;
    let wanted = if labels.starts_with(ID) {
        CADVISOR
    } else {
        IDENTITY
    };
    let mut at = 0;
    for _ in 0..wanted {
        let value = at + labels[at..].find("=\"")? + 2;
        at = value + end_of_value(&labels[value..])? + 1;
    }
    Some(&labels[..at])
}

/// Takes the series of the youngest containers out of `text`, the text format of one collection,
/// until at most `limit` are left, and says how many were taken out. What is no container's stays,
/// and counts.
pub fn shorten(text: &mut String, limit: u64, ages: &Ages) -> u64 {
    let is_sample = |line: &&str| !line.starts_with('#');
    let total = text.lines().filter(is_sample).count() as u64;
    if total <= limit {
        return 0;
    }
    let mut counts = vec![0; ages.count];
    let mut kept = 0;
    for line in text.lines().filter(is_sample) {
        match ages.place(line) {
            Some(place) => counts[place] += 1,
            None => kept += 1,
        }
    }
    let fits = |count: &&u64| {
        kept += **count;
        kept <= limit
    };
    let end = counts.iter().take_while(fits).count();

    let mut short = String::with_capacity(text.len());
    let mut header = 0;
    let mut left = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("# HELP ") {
            // A family that got no sample leaves nothing behind.
            if header != usize::MAX {
                short.truncate(header);
            }
            header = short.len();
            short.push_str(line);
        } else if line.starts_with('#') {
            short.push_str(line);
        } else if ages.place(line).is_none_or(|place| place < end) {
            short.push_str(line);
            header = usize::MAX;
            left += 1;
        }
    }
    if header != usize::MAX {
        short.truncate(header);
    }
    *text = short;
    total - left
}

#[cfg(test)]
mod tests;
