//! The configuration: which source wins, origins, and what is refused.

mod origins;
mod refusals;

use clap::{Args as _, FromArgMatches as _};
use kontiki::config::{ConfigError, ServeArgs, ServeConfig, Settings};
use std::ffi::OsString;
use std::path::PathBuf;

/// The sources of a test: flags, variables and a file.
#[derive(Default)]
struct Sources {
    flags: Vec<String>,
    variables: Vec<(&'static str, &'static str)>,
    file: Option<tempfile::TempDir>,
}

impl Sources {
    fn flags(flags: &[&str]) -> Self {
        Self { flags: flags.iter().map(|flag| (*flag).to_owned()).collect(), ..Self::default() }
    }

    fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn file(mut self, text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("kontiki.toml"), text).unwrap();
        self.flags.extend(["--config".to_owned(), dir.path().join("kontiki.toml").display().to_string()]);
        self.file = Some(dir);
        self
    }

    fn path(&self) -> PathBuf {
        self.file.as_ref().unwrap().path().join("kontiki.toml")
    }

    fn resolve(&self) -> Result<Settings, ConfigError> {
        let command = ServeArgs::augment_args(clap::Command::new("serve").no_binary_name(true));
        let matches = command.try_get_matches_from(&self.flags).unwrap();
        let lookup = |name: &str| {
            self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        ServeArgs::from_arg_matches(&matches).unwrap().resolve(&lookup)
    }

    fn load(&self) -> Result<ServeConfig, ConfigError> {
        self.resolve()?.check()
    }
}
