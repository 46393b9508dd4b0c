//! `kontiki txn`

mod grammar;
mod json;
mod print;

use crate::cli::exit::{CliError, Exit};
use crate::cli::global::Context;
use crate::cli::text;
use crate::client::Txn;

const EXAMPLES: &str = "\
Examples:
  kontiki txn 'if absent(lock) then put lock me else get lock'
  kontiki txn 'if modified(a) = 7 and value(b) != \"off\" then put a 2; delete prefix(tmp/)'
  kontiki txn 'put a 1; put b 2; range prefix(user/) limit 10'
  kontiki txn < transfer.txn
  echo '{\"success\":[{\"put\":{\"key\":\"a\",\"value\":\"1\"}}]}' | kontiki txn

Grammar:
  txn      =  [ \"if\" compare { \"and\" compare } \"then\" ] ops [ \"else\" ops ]
  ops      =  [ op { \";\" op } ]
  op       =  put KEY VALUE | get KEY | delete keys | range keys [ limit N ] | \"(\" txn \")\"
  compare  =  value(keys) rel VALUE            false for an absent key
           |  version(keys) rel N              number of puts; 0 if absent
           |  created(keys) rel REVISION       0 if absent
           |  modified(keys) rel REVISION      0 if absent
           |  exists(KEY) | absent(KEY)
  rel      =  = | != | > | <
  keys     =  KEY | prefix(KEY) | span(KEY KEY) | all()
  KEY, VALUE: a word, or \"text\" with \\n \\t \\\" \\\\ and \\xNN

JSON (input that begins with {): {\"compares\": [...], \"success\": [...], \"failure\": [...]}
  compare  {\"keys\": KEYS, \"target\": \"version|created|modified|value\", \"relation\": \"=|!=|>|<\", \"number\": 1}
           or \"value\": BYTES instead of number
  op       {\"put\": {\"key\": BYTES, \"value\": BYTES}} {\"get\": {\"key\": BYTES}} {\"delete\": {\"keys\": KEYS}}
           {\"range\": {\"keys\": KEYS, \"limit\": 10}} {\"txn\": {...}}
  KEYS     BYTES | {\"prefix\": BYTES} | {\"span\": [BYTES, BYTES]} | {\"all\": true}
  BYTES    \"text\" | {\"hex\": \"00ff\"}
";

/// Compare, then do one of two things, atomically
///
/// All at one revision. Exits with 6 if a condition did not hold (then the else branch, if any, was done).
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct TxnArgs {
    /// The transaction; read from standard input if omitted or `-`
    #[arg(value_name = "TXN", allow_hyphen_values = true)]
    words: Vec<String>,
    /// Show keys and values as hexadecimal digits
    #[arg(long)]
    hex: bool,
}

pub(super) async fn run(args: TxnArgs, context: &Context) -> Result<Exit, CliError> {
    let source = match args.words.as_slice() {
        [] => None,
        [dash] if dash == "-" => None,
        words => Some(words.join(" ")),
    };
    let source = match source {
        Some(source) => source,
        None => String::from_utf8(text::standard_input()?.into())
            .map_err(|_| CliError::Usage("the transaction is not valid UTF-8".to_owned()))?,
    };
    let txn =
        parse(&source).map_err(|message| CliError::Usage(format!("{message}; see kontiki txn --help")))?;
    let shape = txn.clone();
    let answer = context.client.txn(txn).await?;
    if context.output.is_json() {
        context.output.json(&text::answered(&answer.meta, print::json(&answer.value, args.hex)))?;
    } else {
        let line = match (answer.value.succeeded, shape.failure.is_empty()) {
            (true, _) => text::ok(&answer.meta, "succeeded"),
            (false, true) => {
                text::answer(&answer.meta, "conflict: a condition did not hold; nothing was done")
            }
            (false, false) => {
                text::answer(&answer.meta, "conflict: a condition did not hold; the else branch was done")
            }
        };
        context.output.line(line)?;
        for line in print::lines(&shape, &answer.value, args.hex) {
            context.output.line(line)?;
        }
    }
    Ok(if answer.value.succeeded { Exit::Ok } else { Exit::Conflict })
}

fn parse(source: &str) -> Result<Txn, String> {
    if source.trim_start().starts_with('{') { json::parse(source) } else { grammar::parse(source) }
}
