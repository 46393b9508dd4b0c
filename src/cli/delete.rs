//! `kontiki delete`

use crate::cli::exit::{CliError, Exit};
use crate::cli::global::Context;
use crate::cli::{report, text};
use crate::client::{Answer, Delete, Deleted, Keys, Range};
use clap::ArgGroup;
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  kontiki delete hello
  kontiki delete --prefix user/           every key that begins with user/
  kontiki delete --from a --to c          from a (included) to c (excluded)
  kontiki delete --all                    everything
  kontiki delete --prefix log/ --in-parts   more keys than one change may remove
";

/// Remove keys
///
/// All at one revision, unless it is done in parts. Exits with 1 if there was nothing to remove.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
#[group(skip)]
#[command(group = ArgGroup::new("selection").required(true).multiple(true))]
pub(super) struct DeleteArgs {
    /// The key
    #[arg(group = "selection", conflicts_with_all = ["prefix", "from", "to", "all"])]
    key: Option<String>,
    /// Every key with this prefix
    #[arg(long, group = "selection", conflicts_with_all = ["from", "to", "all"])]
    prefix: Option<String>,
    /// Every key from this one
    #[arg(long, group = "selection", value_name = "KEY", conflicts_with = "all")]
    from: Option<String>,
    /// Every key before this one
    #[arg(long, group = "selection", value_name = "KEY", conflicts_with = "all")]
    to: Option<String>,
    /// Every key
    #[arg(long, group = "selection")]
    all: bool,
    /// Remove a few thousand keys at a time, from the first on, each part at a revision of its own. If it
    /// breaks off, the parts before are removed
    #[arg(long, conflicts_with_all = ["key", "previous"])]
    in_parts: bool,
    /// Show what was removed
    #[arg(long)]
    previous: bool,
    /// Keys and values as hexadecimal digits
    #[arg(long)]
    hex: bool,
}

pub(super) async fn run(args: DeleteArgs, context: &Context) -> Result<Exit, CliError> {
    let bytes = |text: &String| text::argument(text, args.hex);
    let bound = |flag: &'static str| move |text: &String| text::bound(flag, text, args.hex);
    let keys = if let Some(key) = &args.key {
        Keys::One(bytes(key)?)
    } else if let Some(prefix) = &args.prefix {
        Keys::Prefix(text::bound("--prefix", prefix, args.hex)?)
    } else if args.all {
        Keys::All
    } else if args.from.is_none() && args.to.is_none() {
        return Err(CliError::Usage("name a key, --prefix, --from, --to or --all".to_owned()));
    } else {
        let start = args.from.as_ref().map(bound("--from")).transpose()?;
        Keys::Span { start, end: args.to.as_ref().map(bound("--to")).transpose()? }
    };
    let answer = if args.in_parts {
        delete_in_parts(context, keys).await?
    } else {
        context.client.delete(Delete { keys, return_previous: args.previous }).await?
    };
    let deleted = answer.value.deleted;
    let output = &context.output;
    if output.is_json() {
        let previous: Vec<_> =
            answer.value.previous.iter().map(|kv| text::key_value(kv, false, args.hex)).collect();
        output.json(&text::answered(&answer.meta, json!({"deleted": deleted, "previous": previous})))?;
    } else {
        let noun = if deleted == 1 { "key" } else { "keys" };
        output.line(text::ok(&answer.meta, &format!("{deleted} {noun} removed")))?;
        for kv in &answer.value.previous {
            output.line(format!(
                "{}\t{}",
                text::shown(&kv.key, args.hex),
                text::shown(&kv.value, args.hex)
            ))?;
        }
    }
    Ok(if deleted == 0 { Exit::No } else { Exit::Ok })
}

/// What one change may remove, and as much as a page may list.
const PART: u64 = 10_000;

/// Removes what is there, a page at a time.
async fn delete_in_parts(context: &Context, keys: Keys) -> Result<Answer<Deleted>, CliError> {
    let mut deleted = 0;
    loop {
        let part = delete_part(context, &keys).await.inspect_err(|_| {
            // With -o json the error is all that standard error gets.
            if deleted > 0 && !context.output.is_json() {
                report::say(&format!("{deleted} keys were removed before this:"));
            }
        })?;
        deleted += part.value.value.deleted;
        if !part.more {
            let meta = part.value.meta;
            return Ok(Answer { value: Deleted { deleted, previous: Vec::new() }, meta });
        }
    }
}

struct Part {
    value: Answer<Deleted>,
    /// Whether there are more keys behind it.
    more: bool,
}

async fn delete_part(context: &Context, keys: &Keys) -> Result<Part, CliError> {
    let listed = Range { limit: PART, keys_only: true, ..Range::new(keys.clone()) };
    let Answer { value: page, meta } = context.client.range(listed).await?;
    let (Some(first), Some(last)) = (page.kvs.first(), page.kvs.last()) else {
        return Ok(Part { value: Answer { value: Deleted::default(), meta }, more: false });
    };
    // The first key behind the last one.
    let end = [&last.key[..], &[0]].concat();
    let keys = Keys::Span { start: Some(first.key.clone()), end: Some(end.into()) };
    let value = context.client.delete(Delete { keys, return_previous: false }).await?;
    Ok(Part { value, more: page.more })
}
