//! METRICS.md, the reference of all metrics, made from the tables.

/// The whole text of METRICS.md.
pub fn reference() -> String {
    String::new()
}
