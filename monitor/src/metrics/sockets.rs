//! The families of a container's TCP sockets: states and accept queues.

use monitor_ebpf::Family;

use super::SocketsRow;
use super::encoder::Encoder;
use super::labels::Tail;
use super::tables::Metric;
use super::tables::container::{TCP_ACCEPT_QUEUE, TCP_ACCEPT_QUEUE_LIMIT, TCP_SOCKETS};
use crate::procfs::Number;
use crate::tcp::STATES;
use crate::tcp::listeners::Queue;

/// The value of the label `port` for ports that are not told apart.
const OTHER: &str = "other";

/// Writes the families.
pub(super) fn encode(rows: &[SocketsRow<'_>], encoder: &mut Encoder<'_>) {
    encode_states(rows, encoder);
    encode_queues(rows, &TCP_ACCEPT_QUEUE, |queue| queue.length, encoder);
    encode_queues(rows, &TCP_ACCEPT_QUEUE_LIMIT, |queue| queue.limit, encoder);
}

fn encode_states(rows: &[SocketsRow<'_>], encoder: &mut Encoder<'_>) {
    let tails: Vec<_> = Family::ALL
        .into_iter()
        .flat_map(|family| STATES.map(|state| (family, state)))
        .map(|(family, state)| {
            let labels = [("state", state.as_str()), ("family", family.as_str())];
            (family, state, Tail::labels(labels))
        })
        .collect();
    let mut out = encoder.family(TCP_SOCKETS.name, TCP_SOCKETS.help, TCP_SOCKETS.kind);
    for row in rows {
        // Most containers have no IPv6 socket, and ten series of nothing are not worth their keep.
        let zeros = Family::ALL
            .map(|family| row.zeros && (family == Family::Ipv4 || row.sockets.states.has(family)));
        for (family, state, tail) in &tails {
            let count = row.sockets.states.get(*family, *state);
            if count > 0 || zeros[*family as usize] {
                out.sample(row.labels, tail, Number::Unsigned(count));
            }
        }
    }
}

fn encode_queues(
    rows: &[SocketsRow<'_>],
    metric: &Metric,
    value: fn(&Queue) -> u64,
    encoder: &mut Encoder<'_>,
) {
    let mut out = encoder.family(metric.name, metric.help, metric.kind);
    for row in rows {
        for ((port, family), queue) in &row.sockets.queues {
            let number = port.map(|port| port.to_string());
            let port = number.as_deref().unwrap_or(OTHER);
            let tail = Tail::labels([("port", port), ("family", family.as_str())]);
            out.sample(row.labels, &tail, Number::Unsigned(value(queue)));
        }
    }
}
