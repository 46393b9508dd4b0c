//! `kontiki config show`

use crate::cli::exit::{CliError, Exit};
use crate::cli::output::{Format, Grid, Output};
use crate::cli::report;
use crate::config::{Origin, ServeArgs, Settings};
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  kontiki config show                              what `kontiki serve` would use
  kontiki config show --config /etc/kontiki.toml
  KONTIKI_NAME=n2 kontiki config show -o json
";

/// Look at the configuration
#[derive(Debug, clap::Subcommand)]
pub(super) enum ConfigCommand {
    /// Show every setting of `kontiki serve` and where it comes from
    ///
    /// Takes the flags of `kontiki serve`. A flag wins over the environment, the environment over the file,
    /// the file over the default.
    #[command(after_long_help = EXAMPLES)]
    Show(ServeArgs),
}

pub(super) fn run(command: &ConfigCommand, output: &Output) -> Result<Exit, CliError> {
    let ConfigCommand::Show(args) = command;
    let settings = args.resolve(&|name| std::env::var_os(name))?;
    match output.format() {
        Format::Json => output.json(&as_json(&settings))?,
        format => output.line(as_grid(&settings).render(format, false))?,
    }
    for variable in
        ServeArgs::unknown_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
    {
        report::say(&format!(
            "warning: {variable} is not a setting and has no effect; see `kontiki serve --help`"
        ));
    }
    // Shown first, so that a wrong value can be seen with its origin.
    settings.check()?;
    Ok(Exit::Ok)
}

fn as_grid(settings: &Settings) -> Grid {
    let mut grid = Grid::new(&["SETTING", "VALUE", "ORIGIN"]);
    for (key, given) in settings.iter() {
        grid.row(vec![key.to_owned(), given.text.clone(), given.origin.to_string()]);
    }
    grid
}

fn as_json(settings: &Settings) -> Value {
    let origin = |origin: &Origin| match origin {
        Origin::Default => json!({"kind": "default"}),
        Origin::File { path, line } => {
            json!({"kind": "file", "path": path.display().to_string(), "line": line})
        }
        Origin::Derived(name) | Origin::Environment(name) | Origin::Flag(name) => {
            json!({"kind": origin.kind(), "name": name})
        }
    };
    let settings: Vec<Value> = settings
        .iter()
        .map(|(key, given)| json!({"key": key, "value": given.text, "origin": origin(&given.origin)}))
        .collect();
    json!({"settings": settings})
}
