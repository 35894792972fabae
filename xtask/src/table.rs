//! Tables for people: of what a scrape says of each container, and in Markdown.

use std::collections::BTreeMap;

use testkit::metrics::{Labels, Metrics};

/// A column of [`render`]: the sum of a family's series with this label.
struct Column {
    heading: &'static str,
    metric: &'static str,
    label: Option<(&'static str, &'static str)>,
}

const fn state(name: &'static str) -> Column {
    Column {
        heading: name,
        metric: "container_network_tcp_sockets",
        label: Some(("state", name)),
    }
}

const COLUMNS: [Column; 6] = [
    Column {
        heading: "sockets",
        metric: "container_network_sockets_used",
        label: None,
    },
    state("listen"),
    state("established"),
    state("close_wait"),
    state("time_wait"),
    Column {
        heading: "udp",
        metric: "container_network_sockets_inuse",
        label: Some(("protocol", "udp")),
    },
];

/// Rows of [`render`]; more would scroll the best ones away.
const MAX_ROWS: usize = 20;

/// What a scrape says of containers and of the owners of network namespaces, most sockets first,
/// aligned. A value that is not there is an empty cell.
pub(crate) fn render(metrics: &Metrics) -> String {
    let mut rows: BTreeMap<String, [Option<f64>; COLUMNS.len()]> = BTreeMap::new();
    for (at, column) in COLUMNS.iter().enumerate() {
        for sample in metrics.matching(column.metric, column.label.as_slice()) {
            let row = rows.entry(name(&sample.labels)).or_default();
            *row[at].get_or_insert(0.0) += sample.value;
        }
    }
    if rows.is_empty() {
        return "no container found\n".to_owned();
    }
    let headings = COLUMNS.iter().map(|column| column.heading);
    let mut lines = vec![
        std::iter::once("container")
            .chain(headings)
            .map(str::to_owned)
            .collect(),
    ];
    let mut rows: Vec<_> = rows.into_iter().collect();
    // Stable, so that equals stay in the order of their names.
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row[0].unwrap_or(0.0) as u64));
    let more = rows.len().saturating_sub(MAX_ROWS);
    lines.extend(rows.into_iter().take(MAX_ROWS).map(|(name, row)| {
        let cells = row.map(|value| value.map_or_else(String::new, |value| value.to_string()));
        std::iter::once(name).chain(cells).collect()
    }));
    let mut text = align(&lines);
    if more > 0 {
        text.push_str(&format!("and {more} more\n"));
    }
    text
}

/// A container's or a pod's name.
fn name(labels: &Labels) -> String {
    let label = |name: &str| labels.get(name).map_or("", String::as_str);
    [label("namespace"), label("pod"), label("container")]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/")
}

/// The first column to the left, numbers to the right.
fn align(lines: &[Vec<String>]) -> String {
    let widths = widths(lines);
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                if column == 0 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn widths(lines: &[Vec<String>]) -> Vec<usize> {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    (0..columns).map(width).collect()
}

/// A Markdown table, its first line the heading.
pub(crate) fn markdown(lines: &[Vec<String>]) -> String {
    let widths = widths(lines);
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, &width) in line.iter().zip(&widths) {
            text.push_str(&format!("| {cell:<width$} "));
        }
        text.push_str("|\n");
        if number == 0 {
            for &width in &widths {
                text.push_str(&format!("|{}", "-".repeat(width + 2)));
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_rows_and_what_is_absent_is_empty() -> anyhow::Result<()> {
        let metrics = Metrics::parse(
            "container_network_sockets_used{namespace=\"\",pod=\"\",container=\"web\"} 12\n\
             container_network_sockets_inuse{container=\"web\",protocol=\"udp\"} 3\n\
             container_network_tcp_sockets{container=\"web\",state=\"listen\",family=\"ipv4\"} 1\n\
             container_network_tcp_sockets{container=\"web\",state=\"listen\",family=\"ipv6\"} 2\n\
             container_network_sockets_used{namespace=\"a\",pod=\"b\",container=\"\"} 1\n",
        )?;
        assert_eq!(
            render(&metrics),
            "container  sockets  listen  established  close_wait  time_wait  udp\n\
             web             12       3                                        3\n\
             a/b              1\n"
        );
        assert_eq!(render(&Metrics::default()), "no container found\n");
        Ok(())
    }

    #[test]
    fn the_rest_of_a_long_list_is_counted() -> anyhow::Result<()> {
        let rows =
            (0..23).map(|n| format!("container_network_sockets_used{{container=\"c{n}\"}} {n}\n"));
        let text = render(&Metrics::parse(&rows.collect::<String>())?);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + MAX_ROWS + 1);
        assert!(lines[1].starts_with("c22 "), "{text}");
        assert_eq!(lines.last(), Some(&"and 3 more"));
        Ok(())
    }

    #[test]
    fn markdown_has_a_rule_below_its_heading() {
        let lines = [["what", "n"], ["a", "10"]].map(|line| line.map(str::to_owned).to_vec());
        assert_eq!(
            markdown(&lines),
            "| what | n  |\n|------|----|\n| a    | 10 |\n"
        );
    }
}
