//! The daemon's options and variables, as far as `run` must know them.

/// Where the daemon listens.
pub(super) const LISTEN: &str = "--web.listen-address";
/// The variable of [`LISTEN`].
pub(super) const LISTEN_VARIABLE: &str = "CONTAINER_MONITOR_WEB_LISTEN_ADDRESS";
/// Where it looks for containers.
pub(super) const DISCOVERY: &str = "--discovery";
/// What it logs.
const LOG_LEVEL: &str = "--log.level";
/// The variable of [`LOG_LEVEL`].
const LOG_LEVEL_VARIABLE: &str = "CONTAINER_MONITOR_LOG_LEVEL";
/// The options that say how it talks, not what it sees, and the start of their variables' names.
const TALK: [&str; 4] = [LISTEN, "--web.telemetry-path", LOG_LEVEL, "--log.format"];
const TALK_VARIABLES: [&str; 2] = ["CONTAINER_MONITOR_WEB_", "CONTAINER_MONITOR_LOG_"];

/// The arguments without those that say how the daemon talks.
pub(super) fn silent(arguments: &[String]) -> Vec<String> {
    TALK.iter().fold(arguments.to_vec(), |arguments, name| {
        without(&arguments, name)
    })
}

/// Whether a variable says how the daemon talks.
pub(super) fn is_talk(variable: &str) -> bool {
    TALK_VARIABLES
        .iter()
        .any(|prefix| variable.starts_with(prefix))
}

/// Whether the log tells where the daemon listens, which is said at the level info.
pub(super) fn logs_info(arguments: &[String]) -> bool {
    let level = value(arguments, LOG_LEVEL).or_else(|| std::env::var(LOG_LEVEL_VARIABLE).ok());
    level.is_none_or(|level| !["error", "warn"].contains(&level.as_str()))
}

/// Whether `--name value` or `--name=value` is among the arguments.
pub(super) fn names(arguments: &[String], name: &str) -> bool {
    without(arguments, name).len() < arguments.len()
}

/// The value of `--name value` or `--name=value`.
fn value(arguments: &[String], name: &str) -> Option<String> {
    arguments.iter().enumerate().find_map(|(at, argument)| {
        let rest = argument.strip_prefix(name)?;
        if rest.is_empty() {
            return arguments.get(at + 1).cloned();
        }
        rest.strip_prefix('=').map(str::to_owned)
    })
}

/// The arguments without `--name value` and `--name=value`.
fn without(arguments: &[String], name: &str) -> Vec<String> {
    let mut kept = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == name {
            arguments.next();
        } else if !argument
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('='))
        {
            kept.push(argument.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn options_are_taken_out() {
        let all = strings(&[
            "serve",
            LISTEN,
            "a",
            "--discoveryx=1",
            "--web.listen-address=b",
        ]);
        assert_eq!(without(&all, LISTEN), ["serve", "--discoveryx=1"]);
        assert!(names(&all, LISTEN) && !names(&all, DISCOVERY));
        assert!(names(&strings(&["--discovery", "cgroup"]), DISCOVERY));
    }

    #[test]
    fn the_probe_is_asked_in_one_way() {
        let all = strings(&[
            "serve",
            "--log.level",
            "error",
            "--log.format=json",
            "--web.telemetry-path=/m",
            "--discovery=cgroup",
        ]);
        assert_eq!(silent(&all), ["serve", "--discovery=cgroup"]);
        assert!(is_talk("CONTAINER_MONITOR_LOG_FORMAT") && is_talk(LISTEN_VARIABLE));
        assert!(!is_talk("CONTAINER_MONITOR_DISCOVERY"));
    }

    #[test]
    fn levels_below_info_are_silent() {
        for (arguments, expected) in [
            (&["--log.level", "warn"][..], false),
            (&["--log.level=error"], false),
            (&["--log.level=info"], true),
            (&["--log.level", "debug"], true),
        ] {
            assert_eq!(logs_info(&strings(arguments)), expected, "{arguments:?}");
        }
    }
}
