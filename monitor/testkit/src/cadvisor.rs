//! The judge of what has cAdvisor's names: the kernel's files, read as cAdvisor reads them. It
//! counts the lines of `/proc/<pid>/net/tcp` and `tcp6` by their state, adds up the queues and
//! drops of `udp` and `udp6`, and takes the fields of `snmp` and `netstat` under their names in
//! lower case.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::metrics::Metrics;

/// Values by the label that tells them apart.
pub type Values = BTreeMap<String, i64>;

/// The kernel's numbers of the states, in hexadecimal, and cAdvisor's words.
const STATES: [(&str, &str); 11] = [
    ("01", "established"),
    ("02", "synsent"),
    ("03", "synrecv"),
    ("04", "finwait1"),
    ("05", "finwait2"),
    ("06", "timewait"),
    ("07", "close"),
    ("08", "closewait"),
    ("09", "lastack"),
    ("0A", "listen"),
    ("0B", "closing"),
];

fn read(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/net/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("can't read {path}"))
}

/// Sockets of `tcp` or `tcp6` by state, in the network namespace of the process `pid`.
///
/// # Errors
/// When the file can't be read or has another form.
pub fn tcp(pid: u32, file: &str) -> Result<Values> {
    let mut values: Values = STATES.iter().map(|(_, word)| ((*word).into(), 0)).collect();
    for line in read(pid, file)?.lines().skip(1) {
        let state = line.split_whitespace().nth(3).context("no state")?;
        let word = STATES.iter().find(|(number, _)| *number == state);
        let (_, word) = word.with_context(|| format!("state {state}"))?;
        *values.entry((*word).into()).or_default() += 1;
    }
    Ok(values)
}

/// Sockets of `udp` or `udp6`, what they hold and what they dropped, likewise.
///
/// # Errors
/// As [`tcp`].
pub fn udp(pid: u32, file: &str) -> Result<Values> {
    let [mut sockets, mut dropped, mut rx, mut tx] = [0; 4];
    for line in read(pid, file)?.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        ensure!(fields.len() == 13, "{line:?}");
        let (send, receive) = fields[4].split_once(':').context("no queues")?;
        sockets += 1;
        tx += i64::from_str_radix(send, 16)?;
        rx += i64::from_str_radix(receive, 16)?;
        dropped += fields[12].parse::<i64>()?;
    }
    let values = [
        ("listen", sockets),
        ("dropped", dropped),
        ("rxqueued", rx),
        ("txqueued", tx),
    ];
    Ok(values.map(|(word, value)| (word.to_owned(), value)).into())
}

/// All fields of TCP in `snmp` and `netstat`, likewise.
///
/// # Errors
/// As [`tcp`].
pub fn advanced(pid: u32) -> Result<Values> {
    let mut values = Values::new();
    for (file, group) in [("snmp", "Tcp: "), ("netstat", "TcpExt: ")] {
        let text = read(pid, file)?;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
        let (names, numbers) = (lines.next(), lines.next());
        let names = names.context("no names")?.split(' ');
        for (name, number) in names.zip(numbers.context("no numbers")?.split(' ')) {
            values.insert(name.to_lowercase(), number.parse()?);
        }
    }
    Ok(values)
}

/// What a scrape has of a family of the container with this name in the runtime, by `label`.
///
/// # Errors
/// When a value is no whole number.
pub fn published(metrics: &Metrics, family: &str, label: &str, name: &str) -> Result<Values> {
    let series = metrics.matching(family, &[("name", name)]);
    let value = |sample: &&crate::metrics::Sample| {
        ensure!(sample.value.fract() == 0.0, "{sample:?}");
        Ok((sample.labels[label].clone(), sample.value as i64))
    };
    series.iter().map(value).collect()
}
