//! What a scrape says of a container's sockets and of its writable layer, in the terms of the
//! judges ([`ss`](crate::ss), [`files`](crate::files), [`du`](crate::du)).

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::metrics::Metrics;
use crate::ss::States;

/// Sockets by state.
pub const SOCKETS: &str = "container_network_tcp_sockets";
/// Length of accept queues.
pub const QUEUE: &str = "container_network_tcp_accept_queue";
/// Limit of accept queues.
pub const LIMIT: &str = "container_network_tcp_accept_queue_limit";

const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];
/// Every state of the contract, by its label.
pub const STATES: [&str; 10] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];

/// Length and limit of accept queues, by port and family.
pub type Queues = BTreeMap<(String, String), (u64, u64)>;

/// A container's sockets, what there is none of left out, as [`ss::states`](crate::ss::states)
/// counts.
///
/// # Errors
/// When a state of one of its families has no series.
pub fn states(metrics: &Metrics, container: &str) -> Result<States> {
    let rows = metrics.matching(SOCKETS, &[("container", container)]).len();
    ensure!(
        rows == STATES.len() || rows == 2 * STATES.len(),
        "{container}: {rows} rows"
    );
    let mut states = States::new();
    for family in FAMILIES.into_iter().take(rows / STATES.len()) {
        for state in STATES {
            let labels = [
                ("container", container),
                ("family", family),
                ("state", state),
            ];
            let count = metrics.value(SOCKETS, &labels)? as u64;
            if count > 0 {
                states.insert((family, state), count);
            }
        }
    }
    Ok(states)
}

/// A container's accept queues.
///
/// # Errors
/// When one has no limit.
pub fn queues(metrics: &Metrics, container: &str) -> Result<Queues> {
    let mut queues = Queues::new();
    for row in metrics.matching(QUEUE, &[("container", container)]) {
        let label = |name| row.labels.get(name).cloned().context("a label is missing");
        let (port, family) = (label("port")?, label("family")?);
        let labels = [
            ("container", container),
            ("port", &*port),
            ("family", &*family),
        ];
        let limit = metrics.value(LIMIT, &labels)? as u64;
        queues.insert((port, family), (row.value as u64, limit));
    }
    Ok(queues)
}

/// Bytes and inodes of a container's writable layer, as [`du::of`](crate::du::of) counts.
///
/// # Errors
/// When there are none.
pub fn layer(metrics: &Metrics, container: &str) -> Result<[f64; 2]> {
    let value = |name: &str| {
        let name = format!("container_filesystem_writable_layer_{name}");
        metrics.value(&name, &[("container", container)])
    };
    Ok([value("bytes")?, value("files")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_ss_is() -> Result<()> {
        let mut text = format!(
            "{QUEUE}{{container=\"x\",port=\"80\",family=\"ipv6\"}} 2\n\
             {LIMIT}{{container=\"x\",port=\"80\",family=\"ipv6\"}} 9\n"
        );
        for (number, state) in STATES.into_iter().enumerate() {
            text += &format!(
                "{SOCKETS}{{container=\"x\",state=\"{state}\",family=\"ipv4\"}} {number}\n"
            );
        }
        let metrics = Metrics::parse(&text)?;
        let seen = states(&metrics, "x")?;
        assert_eq!((seen.len(), seen[&("ipv4", "closing")]), (9, 9));
        assert!(states(&metrics, "y").is_err());
        let queues = queues(&metrics, "x")?;
        assert_eq!(queues[&("80".to_owned(), "ipv6".to_owned())], (2, 9));
        Ok(())
    }
}
