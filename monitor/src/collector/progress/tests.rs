//! Tests of the parent module.

use super::*;
use crate::metrics::own::BuildInfo;

fn progress() -> Progress {
    Progress::new(OwnMetrics::new(BuildInfo::default()).unwrap())
}

fn status(rows: &[(&'static str, u64)]) -> OwnStatus {
    let row = |(name, errors): &(&'static str, u64)| CollectorStatus {
        name,
        success: true,
        duration: Duration::ZERO,
        errors: *errors,
    };
    OwnStatus {
        collectors: rows.iter().map(row).collect(),
        ..OwnStatus::default()
    }
}

fn value(exposition: &Exposition, family: &str, collector: &str) -> Option<f64> {
    let family = exposition.family(family)?;
    let found = family.samples().find(|s| s.label("collector") == collector);
    found.map(|sample| sample.number())
}

const SUCCESS: &str = "container_monitor_collector_success";
const ERRORS: &str = "container_monitor_sample_errors_total";
const FAMILY: &str = "# HELP a b\n# TYPE a gauge\na 1\n";

fn write(progress: &Progress) {
    progress.write(|out| {
        out.push_str(FAMILY);
        1
    });
}

#[test]
fn what_is_done_is_shown_and_what_is_not_has_failed() {
    let progress = progress();
    assert!(progress.partial().is_none());
    // One that ends: its totals are remembered.
    progress.begin(vec!["snmp", "slow"]);
    let mut whole = status(&[("snmp", 2), ("slow", 3)]);
    whole.collections = 1;
    write(&progress);
    assert!(progress.end(whole).family("a").is_some());
    assert!(progress.partial().is_none());

    progress.begin(vec!["snmp", "slow"]);
    let nothing = progress.partial().unwrap();
    assert!(nothing.family("a").is_none());
    assert_eq!(value(&nothing, SUCCESS, "snmp"), Some(0.0));
    progress.publish(&status(&[("snmp", 2)]));
    write(&progress);
    let partial = progress.partial().unwrap();
    assert!(partial.family("a").is_some());
    assert_eq!(value(&partial, SUCCESS, "snmp"), Some(1.0));
    assert_eq!(value(&partial, SUCCESS, "slow"), Some(0.0));
    // A counter that falls would be taken for a restart.
    assert_eq!(value(&partial, ERRORS, "slow"), Some(3.0));
    let collections = partial.family("container_monitor_collections_total");
    assert!(collections.unwrap().samples.ends_with(" 1\n"));
    // The collection goes on.
    write(&progress);
    let whole = progress.end(status(&[("snmp", 2), ("slow", 3)]));
    assert_eq!(whole.text().matches(FAMILY).count(), 2);
}

#[test]
fn what_an_old_collection_found_is_not_shown() {
    let progress = progress();
    progress.begin(vec!["snmp", "slow"]);
    progress.publish(&status(&[("snmp", 0)]));
    write(&progress);
    progress.state().started = Instant::now().checked_sub(MAX_AGE);
    let partial = progress.partial().unwrap();
    assert!(partial.family("a").is_none());
    for name in ["snmp", "slow"] {
        assert_eq!(value(&partial, SUCCESS, name), Some(0.0));
    }
}
