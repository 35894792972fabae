//! METRICS.md is what the metric tables say, and its queries are PromQL.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use container_monitor::metrics;
use testkit::child::find_program;
use testkit::require;

#[test]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../METRICS.md");
    let expected = metrics::reference();
    if std::env::var_os("UPDATE_REFERENCE").is_some_and(|value| value == "1") {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == expected,
        "METRICS.md is not what the tables give; set UPDATE_REFERENCE=1 and run this test again"
    );
}

#[test]
fn the_reference_names_every_metric_once_in_its_tables() {
    let text = metrics::reference();
    let tables = metrics::tables::namespace::METRICS
        .iter()
        .map(|metric| metric.name)
        .chain(
            [
                metrics::tables::container::METRICS,
                metrics::tables::filesystem::METRICS,
                metrics::tables::filesystem::LAYER,
                metrics::tables::disk::METRICS,
                metrics::tables::cadvisor::METRICS,
                metrics::tables::host::METRICS,
                metrics::tables::own::METRICS,
            ]
            .into_iter()
            .flatten()
            .map(|metric| metric.name),
        );
    for name in tables {
        let row = format!("| `{name}` |");
        assert_eq!(text.matches(&row).count(), 1, "{name}");
    }
}

#[test]
fn the_reference_s_queries_are_promql() {
    let text = metrics::reference();
    let mut rules = "groups:\n- name: queries\n  rules:\n".to_owned();
    let mut queries = 0;
    for block in text.split("```promql\n").skip(1) {
        let (query, _) = block.split_once("```").unwrap();
        queries += 1;
        write!(rules, "  - record: query_{queries}\n    expr: |\n").unwrap();
        for line in query.lines() {
            writeln!(rules, "      {line}").unwrap();
        }
    }
    assert!(queries > 5);
    testkit::require!(require::program("promtool"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    std::fs::write(&file, &rules).unwrap();
    let mut promtool = Command::new(find_program("promtool").unwrap());
    let output = promtool
        .args(["check", "rules"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{rules}");
    let found = format!("{queries} rules found");
    assert!(String::from_utf8_lossy(&output.stdout).contains(&found));
}
