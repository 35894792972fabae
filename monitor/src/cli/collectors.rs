//! Flags that switch collectors on and off.

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::COLLECTORS;

/// `--collector.NAME` and `--no-collector.NAME` for every collector.
#[derive(Clone, Debug)]
pub struct CollectorArgs {
    /// Names of those that are off.
    pub disabled: Vec<&'static str>,
}

impl Args for CollectorArgs {
    fn augment_args(mut command: Command) -> Command {
        for collector in COLLECTORS {
            let (on, off) = (on_flag(collector.name), off_flag(collector.name));
            let variable = format!(
                "CONTAINER_MONITOR_COLLECTOR_{}",
                collector.name.to_ascii_uppercase().replace('-', "_")
            );
            let default = if collector.default { "on" } else { "off" };
            command = command
                .arg(
                    Arg::new(on.clone())
                        .long(on.clone())
                        .env(variable)
                        .action(ArgAction::Set)
                        .num_args(0..=1)
                        .require_equals(true)
                        .default_value(if collector.default { "true" } else { "false" })
                        .default_missing_value("true")
                        .hide_default_value(true)
                        .hide_possible_values(true)
                        .value_name("BOOL")
                        .value_parser(BoolishValueParser::new())
                        .overrides_with(off.clone())
                        .help(format!("{} [default: {default}]", collector.help)),
                )
                .arg(
                    Arg::new(off.clone())
                        .long(off)
                        .action(ArgAction::SetTrue)
                        .overrides_with(on)
                        .hide_short_help(true)
                        .help(format!("Switch the collector {} off", collector.name)),
                );
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for CollectorArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_off = |name: &&'static str| {
            let on = matches.get_one::<bool>(&on_flag(name)).is_none_or(|on| *on);
            matches.get_flag(&off_flag(name)) || !on
        };
        Ok(Self {
            disabled: COLLECTORS
                .iter()
                .map(|collector| collector.name)
                .filter(is_off)
                .collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn on_flag(name: &str) -> String {
    format!("collector.{name}")
}

fn off_flag(name: &str) -> String {
    format!("no-collector.{name}")
}
