//! What became of the samples of a push, as the exporter tells it of itself.

use prometheus::IntCounter;
use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;

use crate::metrics::Metric;
use crate::metrics::tables::own as table;

/// Totals of one receiver since start; clones count together.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Samples that the receiver took.
    pub sent: IntCounter,
    /// Samples that were given up.
    pub dropped: IntCounter,
    /// Requests that failed.
    pub errors: IntCounter,
}

impl Counts {
    /// Totals of the push to open-falcon, all zero.
    ///
    /// # Errors
    /// A name is none, which the tables rule out.
    pub fn falcon() -> prometheus::Result<Self> {
        Self::new([
            &table::FALCON_SENT,
            &table::FALCON_DROPPED,
            &table::FALCON_ERRORS,
        ])
    }

    /// Totals of the push over OTLP, all zero.
    ///
    /// # Errors
    /// A name is none, which the tables rule out.
    pub fn otlp() -> prometheus::Result<Self> {
        Self::new([&table::OTLP_SENT, &table::OTLP_DROPPED, &table::OTLP_ERRORS])
    }

    fn new([sent, dropped, errors]: [&Metric; 3]) -> prometheus::Result<Self> {
        let counter = |metric: &Metric| IntCounter::new(metric.name, metric.help);
        Ok(Self {
            sent: counter(sent)?,
            dropped: counter(dropped)?,
            errors: counter(errors)?,
        })
    }

    /// The families, as they stand.
    pub fn families(&self) -> impl Iterator<Item = MetricFamily> {
        let counters = [&self.sent, &self.dropped, &self.errors];
        counters.into_iter().flat_map(|counter| counter.collect())
    }
}
