//! The limit of series: what does not fit is taken out of the text, whole containers at a time,
//! the youngest first.
//!
//! It works on the finished text, because only there all series are known, and costs nothing but
//! counting lines as long as they fit. A container that began earlier never gives way to a later
//! one. How many series one has changes all the time, so that one more may fit now and not the next
//! time: so those that were shown stay as long as all of them fit, and others come only where there
//! is some room beside them.

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

/// Part of the limit that stays free where containers come that were not shown: a twentieth.
const ROOM: u64 = 20;

/// Which containers are shown, from one collection to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// How many of the oldest; `None` for all.
    oldest: Option<usize>,
}

impl Shown {
    /// Takes the series of the youngest containers out of `text`, the text format of one
    /// collection, until at most `limit` are left, and says how many were taken out. What is no
    /// container's stays, and counts.
    pub fn shorten(&mut self, text: &mut String, limit: u64, ages: &Ages) -> u64 {
        let total = text.lines().filter(is_sample).count() as u64;
        let with_room = limit - limit / ROOM;
        if total <= with_room || total <= limit && self.oldest.is_none() {
            self.oldest = None;
            return 0;
        }
        let counts = Counts::new(text, ages);
        let fit = match self.oldest {
            None => counts.fit(limit),
            Some(oldest) => counts.fit(limit).min(oldest.max(counts.fit(with_room))),
        };
        // Where all fit, nobody is left out.
        self.oldest = (fit < ages.count).then_some(fit);
        total - take_out(text, ages, fit)
    }

    /// The same with a part of the text: nobody is shown who was not in the last whole one.
    pub fn shorten_part(self, text: &mut String, limit: u64, ages: &Ages) -> u64 {
        let counts = Counts::new(text, ages);
        let fit = counts.fit(limit);
        let fit = self.oldest.map_or(fit, |oldest| oldest.min(fit));
        counts.total - take_out(text, ages, fit)
    }
}

fn is_sample(line: &&str) -> bool {
    !line.starts_with('#')
}

/// How many series there are.
struct Counts {
    total: u64,
    /// Of no container.
    others: u64,
    /// Of each container, the oldest first.
    by_place: Vec<u64>,
}

impl Counts {
    fn new(text: &str, ages: &Ages) -> Self {
        let mut counts = Self {
            total: 0,
            others: 0,
            by_place: vec![0; ages.count],
        };
        for line in text.lines().filter(is_sample) {
            counts.total += 1;
            match ages.place(line) {
                Some(place) => counts.by_place[place] += 1,
                None => counts.others += 1,
            }
        }
        counts
    }

    /// How many of the oldest containers fit into `limit`.
    fn fit(&self, limit: u64) -> usize {
        let mut sum = self.others;
        let fits = |count: &&u64| {
            sum += **count;
            sum <= limit
        };
        self.by_place.iter().take_while(fits).count()
    }
}

/// Leaves only the series of the oldest `end` containers, and what is no container's; gives how
/// many those are.
fn take_out(text: &mut String, ages: &Ages, end: usize) -> u64 {
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
    left
}

#[cfg(test)]
mod tests;
