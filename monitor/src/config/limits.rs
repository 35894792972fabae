//! What the flags of limits mean.

use super::ConfigError;
use crate::cli::LimitArgs;
use crate::limits::{Limits, Selector};

/// The limits; 0 is none.
///
/// # Errors
/// A selector is none.
pub(super) fn limits(args: LimitArgs) -> Result<Limits, ConfigError> {
    Ok(Limits {
        include: selectors("--container-include", &args.include)?,
        exclude: selectors("--container-exclude", &args.exclude)?,
        min_age: args.min_age,
        containers: (args.containers > 0).then_some(args.containers),
        series: (args.series > 0).then_some(args.series),
    })
}

fn selectors(flag: &'static str, texts: &[String]) -> Result<Vec<Selector>, ConfigError> {
    // A variable that is set to nothing says nothing.
    let texts = texts.iter().filter(|text| !text.trim().is_empty());
    let parse = |text: &String| {
        Selector::parse(text).map_err(|source| ConfigError::Selector {
            flag,
            selector: text.clone(),
            source,
        })
    };
    texts.map(parse).collect()
}
