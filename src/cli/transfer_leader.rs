//! `kontiki transfer-leader`

use crate::cli::exit::{CliError, Exit};
use crate::cli::global::Context;
use crate::cli::text;
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  kontiki transfer-leader          to the most up-to-date node
  kontiki transfer-leader n3
";

/// Hand leadership to another node
///
/// For example before maintenance. Writes wait a few milliseconds.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct TransferLeaderArgs {
    /// The name or id of the node that should lead [default: the most up-to-date voter]
    to: Option<String>,
}

pub(super) async fn run(args: TransferLeaderArgs, context: &Context) -> Result<Exit, CliError> {
    if args.to.as_deref() == Some("") {
        return Err(CliError::Usage(
            "the name of the node is empty; leave it out for the most up-to-date voter".to_owned(),
        ));
    }
    let answer = context.client.transfer_leadership(args.to).await?;
    let leader = &answer.value;
    if context.output.is_json() {
        let leader = json!({"id": leader.id.to_string(), "name": leader.name});
        context.output.json(&text::answered(&answer.meta, json!({"leader": leader})))?;
    } else {
        context.output.line(format!("OK  {} leads  {}", leader.name, text::by(&answer.meta)))?;
    }
    Ok(Exit::Ok)
}
