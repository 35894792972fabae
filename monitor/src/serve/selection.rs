//! `?collect[]=` and `?exclude[]=`, as node_exporter has them.

use std::collections::BTreeSet;

use crate::metrics::owners::{Owners, Selection};

/// What a query asks for.
///
/// # Errors
/// What is to be answered: both at once, or a collector that there is not.
pub(super) fn selection(query: Option<&str>, owners: &Owners) -> Result<Selection, String> {
    let mut collect = BTreeSet::new();
    let mut exclude = BTreeSet::new();
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let named = match &*key {
            "collect[]" => &mut collect,
            "exclude[]" => &mut exclude,
            _ => continue,
        };
        named.insert(owners.collector(&value).map_err(|error| {
            let there = owners.collectors().collect::<Vec<_>>().join(", ");
            format!("{key}={value}: {error} (there are {there})")
        })?);
    }
    match (collect.is_empty(), exclude.is_empty()) {
        (true, true) => Ok(Selection::All),
        (false, true) => Ok(Selection::Only(collect)),
        (true, false) => Ok(Selection::Only(
            owners
                .collectors()
                .filter(|name| !exclude.contains(name))
                .collect(),
        )),
        (false, false) => Err("collect[] and exclude[] cannot be combined".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Schema;

    fn asked(query: &str) -> Result<Selection, String> {
        let owners = Owners::new(&Schema::new(), ["sockstat", "snmp", "transitions"]);
        selection(Some(query), &owners)
    }

    fn only<const N: usize>(names: [&'static str; N]) -> Result<Selection, String> {
        Ok(Selection::Only(names.into()))
    }

    #[test]
    fn what_is_asked_for_is_understood() {
        assert_eq!(asked(""), Ok(Selection::All));
        assert_eq!(asked("a=b&collect=x&collect%5B%5D"), asked("collect[]="));
        assert_eq!(asked("module=x"), Ok(Selection::All));
        assert_eq!(asked("collect[]=snmp"), only(["snmp"]));
        assert_eq!(
            asked("collect%5B%5D=snmp&collect[]=snmp&collect[]=sockstat"),
            only(["snmp", "sockstat"])
        );
        assert_eq!(
            asked("exclude[]=snmp"),
            only(["sockstat", "transitions", "discovery", "host"])
        );
    }

    #[test]
    fn what_there_is_not_is_named_with_what_there_is() {
        for (query, words) in [
            ("collect[]=cpu", ["\"cpu\"", "unknown", "sockstat, snmp"]),
            ("exclude[]=cpu", ["\"cpu\"", "unknown", "sockstat, snmp"]),
            ("collect[]=netstat", ["netstat", "switched off", "sockstat"]),
            ("collect[]=", ["\"\"", "unknown", "sockstat"]),
            (
                "collect[]=snmp&exclude[]=snmp",
                ["collect[]", "exclude[]", "combined"],
            ),
        ] {
            let error = asked(query).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{query}: {word}: {error}");
            }
        }
    }
}
