//! A value as it was given, and where it was given.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// It derives from another setting, or from a preset.
    Derived(String),
    /// A line of the configuration file.
    File {
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    Environment(String),
    Flag(String),
}

impl Origin {
    /// One word for its kind, for JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Derived(_) => "derived",
            Self::File { .. } => "file",
            Self::Environment(_) => "environment",
            Self::Flag(_) => "flag",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::Derived(from) => write!(f, "from {from}"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub text: String,
    pub origin: Origin,
}
