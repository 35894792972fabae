//! The namespace's counters, for those who raise them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::fields;
use super::promise::Block;
use crate::files::{self, Values};
use crate::wait;

/// How long the kernel may take to count. Everything is slow in an emulated machine.
const LIMIT: Duration = Duration::from_secs(20);

/// How many fields before and after a counter count as beside it.
const BESIDE: usize = 2;

/// The namespace of the calling thread.
#[derive(Debug)]
pub(super) struct Inside {
    pid: u32,
    /// The TCP sockets of others.
    sockets: f64,
}

impl Inside {
    /// The namespace of the process `pid`.
    pub(super) fn new(pid: u32) -> Result<Self> {
        let sockets = sockets(&files::namespace_values(pid)?);
        Ok(Self { pid, sockets })
    }

    /// All counters.
    pub(super) fn values(&self) -> Result<Values> {
        files::namespace_values(self.pid)
    }

    /// The counters whose value a field beside them has too, published or not: one that is read
    /// from a place next to its own would not be seen.
    pub(super) fn taken(&self, block: &Block) -> Result<Vec<&'static str>> {
        let fields = fields::read(self.pid, block)?;
        let taken = |counter: &&&str| {
            fields.iter().enumerate().any(|(at, (name, value))| {
                let around = at.saturating_sub(BESIDE)..(at + BESIDE + 1).min(fields.len());
                let same = fields[around].iter().filter(|(_, other)| other == value);
                fields::is(name, counter) && same.count() > 1
            })
        };
        Ok(block.counters.iter().filter(taken).copied().collect())
    }

    /// One counter of a block.
    pub(super) fn value(&self, block: &Block, counter: &str) -> Result<f64> {
        let value = block.value(&self.values()?, counter);
        value.with_context(|| format!("this kernel does not count {counter}"))
    }

    /// Calls `act` until the counter has risen by `count` at least: so often, and again for what
    /// did not count.
    pub(super) fn until_risen(
        &self,
        block: &Block,
        counter: &str,
        count: usize,
        mut act: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let wanted = self.value(block, counter)? + count as f64;
        let start = Instant::now();
        loop {
            let missing = wanted - self.value(block, counter)?;
            if missing <= 0.0 {
                return Ok(());
            }
            ensure!(start.elapsed() < LIMIT, "{counter} lacks {missing}");
            for _ in 0..missing as usize {
                act()?;
            }
        }
    }

    /// Waits until the counter has this value at least.
    pub(super) fn wait_for(&self, block: &Block, counter: &str, wanted: f64) -> Result<()> {
        wait::until(&format!("{counter} is {wanted}"), LIMIT, || {
            Ok((self.value(block, counter)? >= wanted).then_some(()))
        })
    }

    /// Waits until the kernel has closed all sockets, and counts no more.
    pub(super) fn quiet(&self) -> Result<()> {
        let mut last = self.values()?;
        wait::until("no socket and no change", LIMIT, || {
            let values = self.values()?;
            let quiet = values == last && sockets(&values) <= self.sockets;
            last = values;
            Ok(quiet.then_some(()))
        })
    }
}

/// The TCP sockets of a namespace, without those in TIME_WAIT.
fn sockets(values: &Values) -> f64 {
    let inuse = |protocol| {
        let name = "container_network_sockets_inuse".to_owned();
        values.get(&(name, "protocol", protocol)).copied()
    };
    inuse("tcp").unwrap_or(0.0) + inuse("tcp6").unwrap_or(0.0)
}
