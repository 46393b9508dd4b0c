//! `kontiki get`

use crate::cli::exit::{CliError, Exit};
use crate::cli::global::Context;
use crate::cli::output::{Format, Grid};
use crate::cli::{report, screen, text};
use crate::client::{Get, ReadLevel};
use crate::types::Revision;
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  kontiki get hello                   world
  kontiki get photo > photo.png       the bytes, and nothing else
  kontiki get hello --rev 2           as it was at revision 2
  kontiki get hello --local           from the asked node alone; possibly old
  kontiki get hello --at-least 7      wait until the asked node has revision 7
  kontiki get hello -o json           with revisions and version
";

/// Read a key
///
/// To a file or a pipe the value goes as it is, without a newline behind it; on a terminal, control
/// characters are escaped. Exits with 1 if the key is absent.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct GetArgs {
    /// The key
    key: String,
    #[command(flatten)]
    read: ReadArgs,
    /// Key and value as hexadecimal digits
    #[arg(long)]
    hex: bool,
}

/// How fresh the read must be, and at which revision.
#[derive(Debug, clap::Args)]
pub(super) struct ReadArgs {
    /// As it was at this revision
    #[arg(long = "rev", value_name = "REVISION", value_parser = text::revision)]
    revision: Option<u64>,
    /// Read what the asked node has, without asking the others: fast, possibly stale
    #[arg(long, conflicts_with = "at_least")]
    local: bool,
    /// Wait until the asked node has applied this revision
    #[arg(long, value_name = "REVISION", value_parser = text::revision)]
    at_least: Option<u64>,
}

impl ReadArgs {
    pub(super) fn revision(&self) -> Option<Revision> {
        self.revision.map(Revision)
    }

    pub(super) fn level(&self) -> ReadLevel {
        match self.at_least {
            Some(revision) => ReadLevel::AtLeast(Revision(revision)),
            None if self.local => ReadLevel::Local,
            None => ReadLevel::Linearizable,
        }
    }
}

pub(super) async fn run(args: GetArgs, context: &Context) -> Result<Exit, CliError> {
    let key = text::argument(&args.key, args.hex)?;
    let get = Get { key, revision: args.read.revision(), level: args.read.level() };
    let answer = context.client.get(get).await?;
    let output = &context.output;
    if output.is_json() {
        let kv = answer.value.as_ref().map(|kv| text::key_value(kv, false, args.hex));
        output.json(&text::answered(&answer.meta, json!({"kv": kv})))?;
    }
    let Some(kv) = answer.value else {
        return Ok(report::no(output, &format!("absent: {}", args.key)));
    };
    match output.asked {
        Some(Format::Json) => {}
        Some(Format::Table) => {
            let mut grid = Grid::new(&["KEY", "VALUE", "MODIFIED", "VERSION", "CREATED"]);
            grid.row(vec![
                text::shown(&kv.key, args.hex),
                text::shown(&kv.value, args.hex),
                kv.mod_revision.to_string(),
                kv.version.to_string(),
                kv.create_revision.to_string(),
            ]);
            output.line(grid.render(Format::Table, false))?;
        }
        _ if args.hex => output.line(text::shown(&kv.value, true))?,
        _ if output.is_terminal() => output.line(screen::value(&kv.value))?,
        // A program or a file gets the value as it is, to the byte.
        _ => output.bytes(&kv.value)?,
    }
    Ok(Exit::Ok)
}
