//! `kontiki put`

use crate::cli::exit::{CliError, Exit};
use crate::cli::global::Context;
use crate::cli::output::Format;
use crate::cli::text;
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

/// The argument that asks for help where a value belongs: `put level "$v"`, and somebody's value is `-h`. To show help
/// and end with 0 would say that it was stored.
pub(super) fn help_as_value(arguments: &[String]) -> Option<&str> {
    let put = arguments.iter().position(|word| word == "put")?;
    let mut before_help =
        arguments[put + 1..].iter().skip_while(|word| !is_help(word) && word.starts_with('-'));
    before_help.next().filter(|word| !is_help(word))?;
    before_help.find(|word| is_help(word)).map(String::as_str)
}

fn is_help(word: &str) -> bool {
    word == "-h" || word == "--help"
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
        eprintln!("conflict: {} exists already; nothing was written", args.key);
    } else {
        eprintln!("conflict: {} was changed since, or is absent; nothing was written", args.key);
    }
    Ok(Exit::Conflict)
}

#[cfg(test)]
mod tests {
    use super::help_as_value;

    #[test]
    fn a_value_is_not_a_request_for_help() {
        let found = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            help_as_value(&words).map(str::to_owned)
        };
        assert_eq!(found("kontiki put level -h").as_deref(), Some("-h"));
        assert_eq!(found("kontiki put --previous level --help").as_deref(), Some("--help"));
        for line in
            ["kontiki put -h", "kontiki put --previous --help", "kontiki get k -h", "kontiki get put -h"]
        {
            assert_eq!(found(line), None, "{line}");
        }
    }
}
