//! The families that have cAdvisor's names.
//!
//! Their rows have other labels than all others: those that a kubelet puts. `id`, the path of the
//! cgroup, comes first and tells them apart.

mod files;

use monitor_ebpf::{Family, TcpState};

pub use self::files::CadvisorFilesRow;
use super::encoder::Encoder;
use super::labels::{Labels, Tail};
use super::schema::{Counters, Schema};
use super::tables::cadvisor::{
    ADVANCED, ADVANCED_TCP, SOCKETS, TCP_USAGE, TCP6_USAGE, UDP_USAGE, UDP6_USAGE,
};
use super::tables::{CounterFile, Metric};
use crate::procfs::Number;
use crate::tcp::StateCounts;
use crate::tcp::sock_diag::udp::{UdpSockets, UdpTable};

/// cAdvisor's words for the states, in its order. A closed socket is in no table: it counts none
/// either.
pub const TCP_STATES: [(TcpState, &str); 11] = [
    (TcpState::Established, "established"),
    (TcpState::SynSent, "synsent"),
    (TcpState::SynRecv, "synrecv"),
    (TcpState::FinWait1, "finwait1"),
    (TcpState::FinWait2, "finwait2"),
    (TcpState::TimeWait, "timewait"),
    (TcpState::Close, "close"),
    (TcpState::CloseWait, "closewait"),
    (TcpState::LastAck, "lastack"),
    (TcpState::Listen, "listen"),
    (TcpState::Closing, "closing"),
];

/// How a value of [`UDP_USAGE`] is taken from what is known.
type UdpValue = fn(&UdpSockets) -> Option<u64>;

/// The values of the label `udp_state`, in cAdvisor's order.
const UDP_STATES: [(&str, UdpValue); 4] = [
    ("listen", |udp| Some(udp.sockets)),
    ("dropped", |udp| udp.drops),
    ("rxqueued", |udp| Some(udp.receive_queue)),
    ("txqueued", |udp| Some(udp.send_queue)),
];

/// The labels that a kubelet puts on the series of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CadvisorLabels {
    /// Path of its cgroup.
    pub id: String,
    /// Name in the runtime.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// Pod.
    pub pod: String,
    /// Container of the pod.
    pub container: String,
}

impl CadvisorLabels {
    /// The labels, escaped.
    pub fn labels(&self) -> Labels {
        Labels::new()
            .with("id", &self.id)
            .with("container", &self.container)
            .with("image", &self.image)
            .with("name", &self.name)
            .with("namespace", &self.namespace)
            .with("pod", &self.pod)
    }
}

/// One network namespace, under its owner. What is not known is `None`.
#[derive(Clone, Debug)]
pub struct CadvisorRow {
    /// The labels.
    pub labels: Labels,
    /// Its counters, by the schema that [`CadvisorFamilies`] were made with.
    pub counters: Option<Counters>,
    /// Its TCP sockets.
    pub tcp: Option<StateCounts>,
    /// Its UDP sockets.
    pub udp: Option<UdpTable>,
}

/// What does not change between collections: where the counters are, and the ends of the series'
/// labels.
#[derive(Debug)]
pub struct CadvisorFamilies {
    tcp: [(TcpState, Tail); 11],
    udp: [(UdpValue, Tail); 4],
    advanced: Vec<(usize, Tail)>,
    sockets: Option<usize>,
}

impl CadvisorFamilies {
    /// The families of counters that have a slot in `schema`: see [`Schema::add_cadvisor`].
    pub fn new(schema: &Schema) -> Self {
        let advanced = ADVANCED.iter().flat_map(|(file, group, fields)| {
            fields.iter().filter_map(|field| {
                let slot = schema.slot(*file, group, field)?;
                Some((slot, Tail::label("tcp_state", &field.to_ascii_lowercase())))
            })
        });
        Self {
            tcp: TCP_STATES.map(|(state, word)| (state, Tail::label("tcp_state", word))),
            udp: UDP_STATES.map(|(word, value)| (value, Tail::label("udp_state", word))),
            advanced: advanced.collect(),
            sockets: schema.slot(CounterFile::Sockstat, "sockets", "used"),
        }
    }

    /// Appends the families in the text format, and returns the number of series.
    pub fn render(
        &self,
        rows: &[CadvisorRow],
        files: &[CadvisorFilesRow],
        out: &mut String,
    ) -> u64 {
        let mut encoder = Encoder::new(out);
        self.encode_tcp(rows, &TCP_USAGE, Family::Ipv4, &mut encoder);
        self.encode_tcp(rows, &TCP6_USAGE, Family::Ipv6, &mut encoder);
        self.encode_udp(rows, &UDP_USAGE, Family::Ipv4, &mut encoder);
        self.encode_udp(rows, &UDP6_USAGE, Family::Ipv6, &mut encoder);
        encode_counters(rows, &ADVANCED_TCP, &self.advanced, &mut encoder);
        if let Some(slot) = self.sockets {
            encode_counters(rows, &SOCKETS, &[(slot, Tail::NONE)], &mut encoder);
        }
        files::encode(files, &mut encoder);
        encoder.series()
    }

    fn encode_tcp(
        &self,
        rows: &[CadvisorRow],
        metric: &Metric,
        family: Family,
        encoder: &mut Encoder<'_>,
    ) {
        let mut out = encoder.family(metric.name, metric.help, metric.kind);
        for row in rows {
            let Some(tcp) = &row.tcp else {
                continue;
            };
            for (state, tail) in &self.tcp {
                let count = tcp.get(family, *state);
                out.sample(&row.labels, tail, Number::Unsigned(count));
            }
        }
    }

    fn encode_udp(
        &self,
        rows: &[CadvisorRow],
        metric: &Metric,
        family: Family,
        encoder: &mut Encoder<'_>,
    ) {
        let mut out = encoder.family(metric.name, metric.help, metric.kind);
        for row in rows {
            for (value, tail) in &self.udp {
                let udp = row.udp.as_ref().map(|udp| udp.of(family));
                if let Some(value) = udp.and_then(value) {
                    out.sample(&row.labels, tail, Number::Unsigned(value));
                }
            }
        }
    }
}

fn encode_counters(
    rows: &[CadvisorRow],
    metric: &Metric,
    series: &[(usize, Tail)],
    encoder: &mut Encoder<'_>,
) {
    let mut out = encoder.family(metric.name, metric.help, metric.kind);
    for row in rows {
        for (slot, tail) in series {
            let counters = row.counters.as_ref();
            if let Some(value) = counters.and_then(|counters| counters.get(*slot)) {
                out.sample(&row.labels, tail, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
