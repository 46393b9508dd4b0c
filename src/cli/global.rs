//! The flags that every command has.

use crate::cli::exit::CliError;
use crate::cli::output::{Format, Output};
use crate::client::{Client, Options};
use std::time::Duration;

/// Flags of all commands.
#[derive(Debug, clap::Args)]
pub(super) struct GlobalArgs {
    /// The nodes to ask, separated by commas; those that cannot be reached are passed over
    #[arg(
        long,
        global = true,
        env = "KONTIKI_ENDPOINTS",
        value_name = "URLS",
        value_delimiter = ',',
        hide_env_values = true,
        default_value = "http://127.0.0.1:2379,http://127.0.0.1:2381,http://127.0.0.1:2383"
    )]
    pub endpoints: Vec<String>,

    /// How long a call may take: 500ms, 5s, 1m
    #[arg(
        long,
        global = true,
        env = "KONTIKI_TIMEOUT",
        value_name = "TIME",
        hide_env_values = true,
        default_value = "5s",
        value_parser = duration
    )]
    pub timeout: Duration,

    /// The form of the output [default: table on a terminal, else plain]
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

    pub(super) fn context(&self, output: Output) -> Result<Context, CliError> {
        let options = Options { timeout: self.timeout, ..Options::default() };
        let endpoints: Vec<&str> =
            self.endpoints.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
        Ok(Context { client: Client::connect(&endpoints, options)?, output })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("`{text}` is no duration; write 500ms, 5s or 1m");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(wrong()),
    };
    match number.checked_mul(millis) {
        Some(0) => Err("must be more than nothing".to_owned()),
        Some(millis) if millis <= 24 * 3_600_000 => Ok(Duration::from_millis(millis)),
        _ => Err("must be at most a day".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;
    use std::time::Duration;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "0s", "1h", "99999999999999999999s", "100000m"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
