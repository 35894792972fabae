//! OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>), made of the text
//! format.
//!
//! Sample lines are the same in both: a counter's samples end in `_total` in either, only the name
//! of its family does not. There are no `_created` samples: when a kernel counter began is when
//! its namespace was made, which the kernel does not tell.

use super::Kind;
use super::exposition::{Exposition, Family};
use super::owners::{Owners, Selection};

/// The `Content-Type` of what is written here.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Units that a family's name may end in.
const UNITS: [&str; 2] = ["seconds", "bytes"];

/// What the samples of a counter end in.
const TOTAL: &str = "_total";

/// Writes what is selected of an exposition.
pub fn write(exposition: &Exposition, selection: &Selection, owners: &Owners) -> String {
    let mut out = String::with_capacity(exposition.text().len() + exposition.text().len() / 16);
    for family in exposition.families() {
        let start = out.len();
        push_head(&family, &mut out);
        if !owners.samples(&family, selection, &mut out) {
            out.truncate(start);
        }
    }
    out.push_str("# EOF\n");
    out
}

fn push_head(family: &Family<'_>, out: &mut String) {
    let (name, kind) = match (family.kind, family.name.strip_suffix(TOTAL)) {
        (Kind::Counter, Some(name)) => (name, "counter"),
        // Its samples would have to be called otherwise than in the text format.
        (Kind::Counter, None) => (family.name, "unknown"),
        (Kind::Gauge, _) => (family.name, "gauge"),
    };
    let mut line = |parts: [&str; 4]| {
        out.push_str("# ");
        for part in parts {
            out.push_str(part);
        }
        out.push('\n');
    };
    line(["TYPE ", name, " ", kind]);
    let ends_in = |unit: &str| name.strip_suffix(unit).is_some_and(|n| n.ends_with('_'));
    if let Some(unit) = UNITS.into_iter().find(|unit| ends_in(unit)) {
        line(["UNIT ", name, " ", unit]);
    }
    // The text format escapes everything that has to be but quotes.
    let help = family.help.replace('"', "\\\"");
    line(["HELP ", name, " ", &help]);
}
