//! The flags of `serve`, made from the table.

use crate::config::table::{CONFIG_VARIABLE, HEADINGS, SETTINGS};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The flags that were given, as text.
#[derive(Clone, Debug, Default)]
pub struct ServeArgs {
    pub(super) config: Option<PathBuf>,
    pub(super) flags: BTreeMap<&'static str, String>,
}

impl ServeArgs {
    /// Parses flags that are known to be valid; for tests.
    #[cfg(test)]
    pub(super) fn from_flags(flags: &[&str]) -> Self {
        let command = Self::augment_args(Command::new("serve").no_binary_name(true));
        Self::from_arg_matches(&command.get_matches_from(flags)).unwrap()
    }
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("A TOML file with these settings: listen-client = \"…\" [env: {CONFIG_VARIABLE}]"));
        let mut heading = "";
        SETTINGS.iter().fold(command.arg(config), |command, setting| {
            if let Some((_, next)) = HEADINGS.iter().find(|(key, _)| *key == setting.key) {
                heading = next;
            }
            let mut help = setting.help.to_owned();
            if !setting.default.is_empty() {
                help.push_str(&format!(" [default: {}]", setting.default));
            }
            help.push_str(&format!(" [env: {}]", setting.variable()));
            let mut arg = Arg::new(setting.key)
                .long(setting.key)
                .value_name(setting.value)
                .help(help)
                .help_heading(heading);
            if setting.is_switch() {
                arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
            }
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        if let Some(path) = matches.get_one::<PathBuf>("config") {
            self.config = Some(path.clone());
        }
        for setting in SETTINGS {
            if let Some(text) = matches.get_one::<String>(setting.key) {
                self.flags.insert(setting.key, text.clone());
            }
        }
        Ok(())
    }
}
