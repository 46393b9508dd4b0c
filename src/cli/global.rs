//! The flags that every command has.

use crate::cli::exit::CliError;
use crate::cli::output::{Format, Output};
use crate::client::{Client, Options};
use crate::units;
use std::time::Duration;

/// A call that takes longer had better be made again.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Flags of all commands. [`hide`] leaves them out of the help of those to which they mean nothing.
#[derive(Debug, clap::Args)]
pub(super) struct GlobalArgs {
    /// The nodes to ask, separated by commas; unreachable ones are skipped
    #[arg(
        long,
        global = true,
        help_heading = "Client options",
        env = "KONTIKI_ENDPOINTS",
        value_name = "URLS",
        value_delimiter = ',',
        hide_env_values = true,
        default_value = "http://127.0.0.1:2379,http://127.0.0.1:2381,http://127.0.0.1:2383"
    )]
    pub endpoints: Vec<String>,

    /// Where the endpoints come from, for errors.
    #[arg(skip = "--endpoints")]
    pub endpoints_from: &'static str,

    /// How long a call may take, such as 500ms, 5s or 1m
    #[arg(
        long,
        global = true,
        help_heading = "Client options",
        env = "KONTIKI_TIMEOUT",
        value_name = "TIME",
        hide_env_values = true,
        default_value = "5s",
        value_parser = timeout
    )]
    pub timeout: Duration,

    /// The output format [default: table on a terminal, else plain]
    #[arg(
        short,
        long = "output",
        global = true,
        env = "KONTIKI_OUTPUT",
        value_name = "FORM",
        hide_env_values = true
    )]
    pub output: Option<Format>,
}

/// The commands that ask no node, or print nothing, each with the flags that mean nothing to it.
const MEANINGLESS: &[(&[&str], &[&str])] = &[
    (&["serve"], &["endpoints", "timeout", "output"]),
    (&["dev"], &["endpoints", "timeout", "output"]),
    (&["completions"], &["endpoints", "timeout", "output"]),
    (&["version"], &["endpoints", "timeout"]),
    (&["verify"], &["endpoints", "timeout"]),
    (&["config"], &["endpoints", "timeout"]),
    (&["snapshot", "inspect"], &["endpoints", "timeout"]),
    (&["bench"], &["timeout"]),
];

/// Hides the global flags where they mean nothing. They are accepted everywhere all the same: scripts set them once.
pub(super) fn hide(mut program: clap::Command) -> clap::Command {
    for (command, flags) in MEANINGLESS {
        let is_hidden = |flag: &&clap::Arg| flags.contains(&flag.get_id().as_str());
        let hidden: Vec<_> =
            program.get_arguments().filter(is_hidden).map(|flag| flag.clone().hide(true)).collect();
        // A command that has the flag already does not inherit it.
        program = at(program, command, hidden);
    }
    program
}

/// Lets an environment variable that is set to nothing be one that is not set, for every flag.
pub(super) fn unset_empty_variables(program: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| {
        arg.get_env().is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()))
    };
    program
        .mut_args(|arg| if is_empty(&arg) { arg.env(clap::builder::Resettable::Reset) } else { arg })
        .mut_subcommands(unset_empty_variables)
}

fn at(program: clap::Command, command: &[&str], flags: Vec<clap::Arg>) -> clap::Command {
    match command {
        [] => program.args(flags),
        [name, rest @ ..] => program.mut_subcommand(*name, |command| at(command, rest, flags)),
    }
}

/// What a command works with.
#[derive(Debug)]
pub(super) struct Context {
    pub client: Client,
    pub output: Output,
}

impl GlobalArgs {
    pub(super) fn output(&self) -> Output {
        Output::new(self.output)
    }

    /// The endpoints as they were written, one by one.
    pub(super) fn endpoints(&self) -> Result<Vec<String>, CliError> {
        let endpoints: Vec<String> = self
            .endpoints
            .iter()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
            .collect();
        match endpoints.iter().find(|text| text.contains(char::is_whitespace)) {
            Some(several) => Err(CliError::Usage(format!(
                "{}: `{several}` has a space in it; separate endpoints by commas",
                self.endpoints_from
            ))),
            None => Ok(endpoints),
        }
    }

    pub(super) fn context(&self, output: Output) -> Result<Context, CliError> {
        let options = Options { timeout: self.timeout, ..Options::default() };
        let client = Client::connect(&self.endpoints()?, options)
            .map_err(|error| CliError::Usage(format!("{}: {}", self.endpoints_from, error.failure)))?;
        Ok(Context { client, output })
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    match units::duration(text)? {
        Duration::ZERO => Err("must be more than zero".to_owned()),
        timeout if timeout <= LONGEST_TIMEOUT => Ok(timeout),
        _ => Err("must be at most a day".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::timeout;
    use std::time::Duration;

    #[test]
    fn a_timeout_is_more_than_nothing_and_at_most_a_day() {
        assert_eq!(timeout("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["5", "0s", "25h", "100000m"] {
            assert!(timeout(wrong).is_err(), "{wrong}");
        }
    }
}
