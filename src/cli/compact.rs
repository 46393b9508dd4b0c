//! `kontiki compact`

use crate::cli::exit::{CliError, Exit};
use crate::cli::global::Context;
use crate::cli::text;
use crate::types::Revision;
use clap::ArgGroup;
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  kontiki compact 1000        reads below revision 1000 fail from then on
";

/// Forget the history below a revision
///
/// The newest version of each key stays. This cannot be undone.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
#[group(skip)]
#[command(group = ArgGroup::new("oldest").required(true))]
pub(super) struct CompactArgs {
    /// The oldest revision that stays readable
    #[arg(group = "oldest", value_parser = text::revision)]
    revision: Option<u64>,
    /// The same, as in `get` and `scan`
    #[arg(long = "rev", group = "oldest", value_name = "REVISION", value_parser = text::revision)]
    by_flag: Option<u64>,
}

pub(super) async fn run(args: &CompactArgs, context: &Context) -> Result<Exit, CliError> {
    let revision = args.revision.or(args.by_flag).unwrap_or_default(); // One of them is required.
    let answer = context.client.compact(Revision(revision)).await?;
    if context.output.is_json() {
        context.output.json(&text::answered(&answer.meta, json!({"requested_revision": revision})))?;
    } else {
        context
            .output
            .line(text::ok(&answer.meta, &format!("no history is left below revision {revision}")))?;
    }
    Ok(Exit::Ok)
}
