//! What came of it all: the table of kernels and capabilities, for people, for programs, and as
//! the README has it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use guest::{CHECKS, Outcome};
use serde::Serialize;

use super::architecture::Architecture;
use super::emulator::Answers;
use super::packages::Kernel;
use crate::table;

/// What stands before and behind the table in the README.
const MARKS: [&str; 2] = [
    "<!-- cargo xtask kernels --write -->",
    "<!-- end of kernels -->",
];

/// What the heading of the first column says.
const CORNER: &str = "kernel";

/// A kernel that was tried.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Column {
    /// Its series, such as `6.1`, and its architecture where it is not the usual one.
    pub(super) name: String,
    release: String,
    machine: String,
    seconds: f64,
    #[serde(rename = "checks")]
    outcomes: BTreeMap<String, Outcome>,
}

impl Column {
    pub(super) fn new(answers: &Answers, kernel: &Kernel) -> Self {
        let (image, architecture) = (&kernel.image, kernel.architecture);
        let mut numbers = answers.release.split(['.', '-']);
        let series = match (numbers.next(), numbers.next()) {
            (Some(major), Some(minor)) => format!("{major}.{minor}"),
            // It never came to say so.
            _ => image
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        };
        let name = match architecture {
            Architecture::Amd64 => series,
            Architecture::Arm64 => format!("{series} arm64"),
        };
        Self {
            name,
            release: answers.release.clone(),
            machine: answers.machine.clone(),
            seconds: answers.duration.as_secs_f64(),
            outcomes: answers.outcomes.clone(),
        }
    }

    fn cell(&self, id: &str) -> String {
        match self.outcomes.get(id) {
            Some(Outcome::Met(word)) => word.clone(),
            Some(Outcome::Absent(what)) => format!("({what})"),
            Some(Outcome::Failed(_)) => "FAILED".to_owned(),
            None => String::new(),
        }
    }

    /// What is not as it should be.
    fn failures(&self) -> Vec<String> {
        if self.release.is_empty() {
            return vec![format!("{}: the test program was never run", self.name)];
        }
        let failed = |check: &guest::Check| match self.outcomes.get(check.id) {
            Some(Outcome::Failed(why)) => Some(format!("{}: {}: {why}", self.name, check.title)),
            _ => None,
        };
        CHECKS.iter().filter_map(failed).collect()
    }
}

/// The table.
pub(super) fn lines(columns: &[Column]) -> Vec<Vec<String>> {
    let names = columns.iter().map(|column| column.name.clone());
    let mut lines = vec![std::iter::once(CORNER.to_owned()).chain(names).collect()];
    lines.extend(CHECKS.iter().map(|check| {
        let cells = columns.iter().map(|column| column.cell(check.id));
        std::iter::once(check.title.to_owned())
            .chain(cells)
            .collect()
    }));
    lines
}

/// All of it as JSON.
///
/// # Errors
/// None in practice.
pub(super) fn json(columns: &[Column]) -> Result<String> {
    Ok(serde_json::to_string_pretty(columns)?)
}

/// What is wrong: what failed, and what is not as the README's table has it. A kernel newer than
/// any in that table is held to the newest there; one's own, of another series, to nothing.
pub(super) fn wrong(columns: &[Column], readme: &str, own: bool) -> Vec<String> {
    let expected = match table_in(readme) {
        Ok(expected) => expected,
        Err(error) => return vec![format!("{error:#}")],
    };
    let mut wrong: Vec<String> = columns.iter().flat_map(Column::failures).collect();
    for column in columns {
        let Some(name) = expected_name(&expected, &column.name, own) else {
            if !own {
                wrong.push(format!(
                    "{}: the README's table has no such kernel",
                    column.name
                ));
            }
            continue;
        };
        for check in CHECKS {
            let (seen, before) = (column.cell(check.id), expected[&name].get(check.title));
            let before = before.map_or("", String::as_str);
            let failed = matches!(column.outcomes.get(check.id), Some(Outcome::Failed(_)));
            if seen != before && !failed {
                wrong.push(format!(
                    "{}: {}: {seen:?}, the README says {before:?} of {name} (`--write` would \
                     write the table into it)",
                    column.name, check.title
                ));
            }
        }
    }
    wrong
}

/// Cells by kernel and check.
type Table = BTreeMap<String, BTreeMap<String, String>>;

/// The kernel of the README's table that one is to be like.
fn expected_name(expected: &Table, name: &str, own: bool) -> Option<String> {
    if expected.contains_key(name) {
        return Some(name.to_owned());
    }
    let newest = expected
        .keys()
        .filter(|known| architecture(known) == architecture(name))
        .max_by_key(|known| version(known))?;
    (!own && version(newest) < version(name)).then(|| newest.clone())
}

fn architecture(name: &str) -> &str {
    name.split_once(' ')
        .map_or("", |(_, architecture)| architecture)
}

fn version(name: &str) -> Vec<u32> {
    let series = name.split(' ').next().unwrap_or_default();
    series
        .split('.')
        .filter_map(|number| number.parse().ok())
        .collect()
}

/// The table that the README has.
fn table_in(readme: &str) -> Result<Table> {
    let (start, end) = place(readme)?;
    let mut rows = readme[start..end]
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|--"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim));
    let names: Vec<&str> = rows
        .next()
        .context("the README's table has no heading")?
        .collect();
    let mut table = Table::new();
    for mut row in rows {
        let title = row.next().unwrap_or_default();
        for (name, cell) in names.iter().skip(1).zip(row) {
            let column = table.entry((*name).to_owned()).or_default();
            column.insert(title.to_owned(), cell.to_owned());
        }
    }
    Ok(table)
}

/// Where the README has the table.
fn place(readme: &str) -> Result<(usize, usize)> {
    let [begin, end] = MARKS;
    let start = readme
        .find(begin)
        .with_context(|| format!("the README has no {begin}"))?;
    let start = start + begin.len();
    let length = readme[start..]
        .find(end)
        .with_context(|| format!("the README has no {end}"))?;
    Ok((start, start + length))
}

/// The README with this table in it.
///
/// # Errors
/// The README has no place for it.
pub(super) fn with_table(readme: &str, columns: &[Column]) -> Result<String> {
    let (start, end) = place(readme)?;
    let table = table::markdown(&lines(columns));
    Ok(format!("{}\n{table}{}", &readme[..start], &readme[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(release: &str, machine: &str, outcome: Outcome) -> Answers {
        Answers {
            release: release.to_owned(),
            machine: machine.to_owned(),
            outcomes: CHECKS
                .iter()
                .map(|check| (check.id.to_owned(), outcome.clone()))
                .collect(),
            ..Answers::default()
        }
    }

    fn column_of(release: &str, machine: &str, outcome: Outcome) -> Column {
        let mut architectures = Architecture::ALL.into_iter();
        let kernel = Kernel {
            image: "vmlinuz".into(),
            modules: None,
            architecture: architectures
                .find(|architecture| architecture.rust() == machine)
                .unwrap_or(Architecture::Amd64),
        };
        Column::new(&answers(release, machine, outcome), &kernel)
    }

    fn column(release: &str, machine: &str, word: &str) -> Column {
        column_of(release, machine, Outcome::Met(word.to_owned()))
    }

    fn readme() -> String {
        format!("before\n{}\n{}\nbehind\n", MARKS[0], MARKS[1])
    }

    #[test]
    fn the_readme_says_what_each_kernel_can() -> Result<()> {
        let columns = [
            column("5.10.0-32-cloud-amd64", "x86_64", "sock_diag"),
            column("6.12.1", "x86_64", "exact"),
            column("6.12.1", "aarch64", "exact"),
        ];
        let readme = with_table(&readme(), &columns)?;
        assert!(readme.starts_with("before\n") && readme.ends_with("\nbehind\n"));
        assert!(readme.contains("| 5.10 "), "{readme}");
        assert_eq!(wrong(&columns, &readme, false), Vec::<String>::new());
        assert_eq!(with_table(&readme, &columns)?, readme);
        // What was lost is named, and what failed.
        let lost = [column("6.12.9", "x86_64", "sock_diag")];
        assert_eq!(wrong(&lost, &readme, false).len(), CHECKS.len());
        let failed = column_of("6.12.9", "x86_64", Outcome::Failed("why".to_owned()));
        let failed = wrong(&[failed], &readme, false);
        assert_eq!(failed.len(), CHECKS.len());
        assert!(failed[0].ends_with("why"), "{failed:?}");
        Ok(())
    }

    #[test]
    fn a_newer_kernel_is_to_be_like_the_newest() -> Result<()> {
        let columns = [
            column("6.12.1", "x86_64", "new"),
            column("6.1.1", "x86_64", "old"),
            column("7.2.1", "aarch64", "other"),
        ];
        let readme = with_table(&readme(), &columns)?;
        let newer = column("7.0.1", "x86_64", "new");
        assert!(wrong(std::slice::from_ref(&newer), &readme, false).is_empty());
        let between = [column("6.6.1", "x86_64", "between")];
        assert_eq!(wrong(&between, &readme, false).len(), 1);
        assert!(wrong(&between, &readme, true).is_empty());
        assert!(wrong(&[newer], "no table", false)[0].contains("README"));
        Ok(())
    }
}
