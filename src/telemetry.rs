//! Logging. There are no metrics and traces yet.

use crate::config::{LogConfig, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("`{filter}` is not a log filter: {source}; write info, or info,kontiki::raft=debug")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something in this process has set up logging already.
    #[error("logging was set up before: {0}")]
    Taken(Box<dyn std::error::Error + Send + Sync>),
}

/// Whether a terminal may be given color: <https://no-color.org> (any value but the empty one), and it can show it.
pub fn color_is_wanted() -> bool {
    let is_set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    is_set("NO_COLOR").is_none() && is_set("TERM").is_none_or(|kind| kind != "dumb")
}

/// Sends the process's log to standard error: for people on a terminal, one
/// JSON object a line otherwise, unless `config` says which.
///
/// Calling it twice is an error.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|source| TelemetryError::Filter { filter: config.filter.clone(), source })?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal && color_is_wanted());
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Plain => false,
        LogFormat::Auto => !terminal,
    };
    if json { builder.json().flatten_event(true).try_init() } else { builder.compact().try_init() }
        .map_err(TelemetryError::Taken)
}
