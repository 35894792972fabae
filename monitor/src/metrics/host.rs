//! The values that the kernel counts for the whole host. Every namespace's `sockstat` shows them,
//! the same number each time, so they are published once.

use super::encoder::Encoder;
use super::labels::{Labels, Tail};
use super::tables::{self, Metric};
use crate::procfs::{Number, ParseError, sockstat};

/// Host-wide values; `None` is what could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostValues {
    /// TCP sockets that no process holds open.
    pub tcp_orphans: Option<u64>,
    /// TCP sockets in existence.
    pub tcp_allocated: Option<u64>,
    /// Memory of TCP's buffers, in bytes.
    pub tcp_memory: Option<u64>,
    /// Memory of UDP's buffers, in bytes.
    pub udp_memory: Option<u64>,
    /// Low, pressure and max of TCP's memory, in bytes.
    pub tcp_memory_limit: Option<[u64; 3]>,
}

impl HostValues {
    /// Takes the host-wide fields from a `sockstat` file, of whichever namespace. The kernel
    /// counts memory in pages.
    ///
    /// # Errors
    /// The text is not understood; nothing is changed then.
    pub fn read_sockstat(&mut self, text: &[u8], page_size: u64) -> Result<(), ParseError> {
        let mut new = Self {
            tcp_memory_limit: self.tcp_memory_limit,
            ..Self::default()
        };
        sockstat::parse(text, |line, key, value| {
            // A count below zero is the kernel's per-CPU halves read at different moments.
            let Number::Unsigned(value) = value else {
                return;
            };
            match (line, key) {
                (b"TCP", b"orphan") => new.tcp_orphans = Some(value),
                (b"TCP", b"alloc") => new.tcp_allocated = Some(value),
                (b"TCP", b"mem") => new.tcp_memory = value.checked_mul(page_size),
                (b"UDP", b"mem") => new.udp_memory = value.checked_mul(page_size),
                _ => {}
            }
        })?;
        *self = new;
        Ok(())
    }

    /// Takes the limits from `/proc/sys/net/ipv4/tcp_mem`, three numbers of pages.
    ///
    /// # Errors
    /// The text is not three numbers; nothing is changed then.
    pub fn read_tcp_mem(&mut self, text: &[u8], page_size: u64) -> Result<(), ParseError> {
        let mut words = text
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let mut limits = [0; 3];
        for (limit, level) in limits.iter_mut().zip(tables::host::TCP_MEMORY_LEVELS) {
            let word = words.next().unwrap_or_default();
            let Some(Number::Unsigned(pages)) = Number::parse(word) else {
                return Err(ParseError::NotANumber {
                    line: 1,
                    field: format!("tcp_mem {level}"),
                    value: String::from_utf8_lossy(word).into_owned(),
                });
            };
            // A limit beyond all memory is set to mean none.
            *limit = pages.saturating_mul(page_size);
        }
        self.tcp_memory_limit = Some(limits);
        Ok(())
    }

    pub(super) fn encode(&self, encoder: &mut Encoder<'_>) {
        for (metric, value) in [
            (&tables::host::TCP_ORPHANS, self.tcp_orphans),
            (&tables::host::TCP_ALLOCATED, self.tcp_allocated),
            (&tables::host::TCP_MEMORY, self.tcp_memory),
            (&tables::host::UDP_MEMORY, self.udp_memory),
        ] {
            let mut family = family(encoder, metric);
            if let Some(value) = value {
                family.sample(&Labels::new(), &Tail::NONE, Number::Unsigned(value));
            }
        }
        let mut family = family(encoder, &tables::host::TCP_MEMORY_LIMIT);
        let levels = tables::host::TCP_MEMORY_LEVELS;
        for (value, level) in self.tcp_memory_limit.iter().flatten().zip(levels) {
            let tail = Tail::label("level", level);
            family.sample(&Labels::new(), &tail, Number::Unsigned(*value));
        }
    }
}

fn family<'e>(encoder: &'e mut Encoder<'_>, metric: &Metric) -> super::encoder::Family<'e> {
    encoder.family(metric.name, metric.help, metric.kind)
}

#[cfg(test)]
mod tests {
    use super::HostValues;
    use crate::metrics::encoder::Encoder;
    use crate::procfs::captures::ALL;

    #[test]
    fn memory_is_in_bytes_and_counts_are_counts() {
        let mut host = HostValues::default();
        host.read_sockstat(ALL[0].sockstat, 4096).unwrap();
        host.read_tcp_mem(b"46608\t62145\t93216\n", 4096).unwrap();
        assert_eq!(
            host,
            HostValues {
                tcp_orphans: Some(0),
                tcp_allocated: Some(14),
                tcp_memory: Some(6 * 4096),
                udp_memory: Some(2 * 4096),
                tcp_memory_limit: Some([46608 * 4096, 62145 * 4096, 93216 * 4096]),
            }
        );
    }

    #[test]
    fn what_is_missing_is_none_and_what_is_wrong_changes_nothing() {
        let mut host = HostValues::default();
        host.read_sockstat(b"TCP: orphan -1 alloc 3\n", 4096)
            .unwrap();
        assert_eq!((host.tcp_orphans, host.tcp_allocated), (None, Some(3)));
        assert_eq!((host.tcp_memory, host.udp_memory), (None, None));
        let before = host;
        assert!(
            host.read_sockstat(b"TCP: orphan 7 alloc x\n", 4096)
                .is_err()
        );
        for bad in [&b""[..], b"1 2\n", b"1 2 x\n", b"1 -2 3\n", b"\xff"] {
            assert!(host.read_tcp_mem(bad, 4096).is_err());
        }
        assert_eq!(host, before);
    }

    #[test]
    fn a_limit_beyond_all_memory_stays_one() {
        let mut host = HostValues::default();
        host.read_tcp_mem(b"1 2 18446744073709551615\n", 4096)
            .unwrap();
        assert_eq!(host.tcp_memory_limit, Some([4096, 8192, u64::MAX]));
    }

    #[test]
    fn nothing_known_is_nothing_written() {
        let mut out = String::new();
        HostValues::default().encode(&mut Encoder::new(&mut out));
        assert_eq!(out, "");
    }
}
