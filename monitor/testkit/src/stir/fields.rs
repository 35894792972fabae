//! All counters of a block in their order, those that are not published too.

use anyhow::{Context, Result};

use super::promise::Block;

/// The fields of a block and their values, as the namespace of the process `pid` has them, in the
/// order of the file: nearly that of the kernel.
pub(super) fn read(pid: u32, block: &Block) -> Result<Vec<(String, f64)>> {
    let mut fields = Vec::new();
    for file in ["snmp", "snmp6", "netstat"] {
        let path = format!("/proc/{pid}/net/{file}");
        let text = match std::fs::read_to_string(&path) {
            // Not there where the kernel has no IPv6.
            Err(_) if file == "snmp6" => continue,
            text => text.with_context(|| format!("can't read {path}"))?,
        };
        if file == "snmp6" {
            // `Udp6InDatagrams 7`
            let ours = text
                .lines()
                .filter_map(|line| line.strip_prefix(block.group));
            for (name, value) in ours.filter_map(|line| line.split_once(char::is_whitespace)) {
                fields.push((name.to_owned(), value.trim().parse()?));
            }
            continue;
        }
        // `Tcp: RtoMin ActiveOpens`, then `Tcp: 200 7`.
        let ours = |line: &&str| line.split(':').next() == Some(block.group);
        let mut ours = text.lines().filter(ours);
        if let (Some(names), Some(values)) = (ours.next(), ours.next()) {
            let pairs = names.split_whitespace().zip(values.split_whitespace());
            for (name, value) in pairs.skip(1) {
                fields.push((name.to_owned(), value.parse()?));
            }
        }
    }
    Ok(fields)
}

/// Whether a metric is that of a field: `req_q_full_drop` is that of `TCPReqQFullDrop`.
pub(super) fn is(field: &str, counter: &str) -> bool {
    let field = field.strip_prefix("TCP").unwrap_or(field);
    field.eq_ignore_ascii_case(&counter.replace('_', ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stir::RAISED;

    #[test]
    fn finds_every_counter() -> Result<()> {
        for block in RAISED {
            let fields = read(std::process::id(), block)?;
            for counter in block.counters {
                let found = fields.iter().filter(|(field, _)| is(field, counter));
                assert_eq!(found.count(), 1, "{} {counter}", block.group);
            }
        }
        Ok(())
    }
}
