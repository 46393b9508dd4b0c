//! `kontiki put`

use crate::cli::exit::{CliError, Exit};
use crate::cli::global::Context;
use crate::cli::output::Format;
use crate::cli::{report, text};
use crate::client::{Compare, Keys, Put, Relation, Target, Txn, TxnOp, TxnResult};
use crate::types::Revision;
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  kontiki put hello world
  kontiki put config - < config.json           the value from standard input
  kontiki put --if-absent lock me              only if nobody has it; else exit code 6
  kontiki put --if-revision 7 counter 2        only if unchanged since revision 7; else exit code 6
  kontiki put --hex 00ff cafe                  bytes
  kontiki put -- level \"$value\"                whatever the value begins with
";

/// Set a key
///
/// Returns once a majority of the nodes has it on disk.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct PutArgs {
    /// The key
    key: String,
    /// The value; `-` reads it from standard input, unchanged
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Show the version that was replaced
    #[arg(long)]
    previous: bool,
    /// Only if the key is absent
    #[arg(long, conflicts_with = "if_revision")]
    if_absent: bool,
    /// Only if the key's last change was at this revision
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
    /// Key and value are hexadecimal digits
    #[arg(long)]
    hex: bool,
}

/// What is said of a key or a value that is, or is like, an option.
pub(super) fn like_an_option(word: &str) -> String {
    format!(
        "`{word}` is no option of put; to store it, write `kontiki put -- KEY VALUE`, else see `kontiki help put`"
    )
}

pub(super) async fn run(args: PutArgs, context: &Context) -> Result<Exit, CliError> {
    let key = text::argument(&args.key, args.hex)?;
    let value =
        if args.value == "-" { text::standard_input()? } else { text::argument(&args.value, args.hex)? };
    let put = Put { key: key.clone(), value, return_previous: args.previous };
    let target = match (args.if_absent, args.if_revision) {
        (true, _) => Some(Target::Version(0)),
        (false, Some(revision)) => Some(Target::ModRevision(Revision(revision))),
        (false, None) => None,
    };
    let (meta, previous) = match target {
        None => {
            let answer = context.client.put(put).await?;
            (answer.meta, answer.value)
        }
        Some(target) => {
            let compare = Compare { keys: Keys::One(key), target, relation: Relation::Equal };
            let txn = Txn { compares: vec![compare], success: vec![TxnOp::Put(put)], failure: Vec::new() };
            let answer = context.client.txn(txn).await?;
            if !answer.value.succeeded {
                return conflict(&args, &answer.meta, context);
            }
            let previous = answer.value.results.into_iter().find_map(|result| match result {
                TxnResult::Put(previous) => previous,
                _ => None,
            });
            (answer.meta, previous)
        }
    };
    if context.output.format() == Format::Json {
        let previous = previous.map(|kv| text::key_value(&kv, false, args.hex));
        let done = json!({"succeeded": true, "previous": previous});
        context.output.json(&text::answered(&meta, done))?;
        return Ok(Exit::Ok);
    }
    context.output.line(text::ok(&meta, ""))?;
    if let Some(kv) = previous {
        context.output.line(format!(
            "was {}  (revision {}, version {})",
            text::shown(&kv.value, args.hex),
            kv.mod_revision,
            kv.version
        ))?;
    }
    Ok(Exit::Ok)
}

fn conflict(args: &PutArgs, meta: &crate::client::Meta, context: &Context) -> Result<Exit, CliError> {
    if context.output.format() == Format::Json {
        context.output.json(&text::answered(meta, json!({"succeeded": false, "previous": null})))?;
    } else if args.if_absent {
        report::say(&format!("conflict: {} exists already; nothing was written", args.key));
    } else {
        report::say(&format!("conflict: {} was changed since, or is absent; nothing was written", args.key));
    }
    Ok(Exit::Conflict)
}
