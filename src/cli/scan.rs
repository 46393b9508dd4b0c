//! `kontiki scan`

use crate::cli::exit::{CliError, Exit};
use crate::cli::get::ReadArgs;
use crate::cli::global::Context;
use crate::cli::output::{Format, Grid};
use crate::cli::{screen, text};
use crate::client::{KeyValue, Keys, Order, ScanOptions};

/// How many bytes of a value a table on a screen shows.
const MOST_SHOWN: usize = 60;

const EXAMPLES: &str = "\
Examples:
  kontiki scan user/                       every key that begins with user/
  kontiki scan                             everything
  kontiki scan --from a --to c --limit 10  from a (included) to c (excluded)
  kontiki scan user/ --desc --keys-only
  kontiki scan user/ -o json               one JSON object a line
";

/// Read many keys in order
///
/// All at one revision, however many keys there are and whatever is written meanwhile. A table on a screen shows
/// the beginning of a large value; in a pipe, and with -o plain or json, all of it is there.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ScanArgs {
    /// Every key with this prefix
    #[arg(conflicts_with_all = ["from", "to", "all"])]
    prefix: Option<String>,
    /// The same, as in `delete`
    #[arg(long = "prefix", value_name = "PREFIX", conflicts_with_all = ["prefix", "from", "to", "all"])]
    by_flag: Option<String>,
    /// From this key
    #[arg(long, value_name = "KEY", conflicts_with = "all")]
    from: Option<String>,
    /// Up to but not including this key
    #[arg(long, value_name = "KEY", conflicts_with = "all")]
    to: Option<String>,
    /// Every key; the default
    #[arg(long)]
    all: bool,
    /// At most this many keys
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Largest first
    #[arg(long)]
    desc: bool,
    /// Leave out the values
    #[arg(long)]
    keys_only: bool,
    #[command(flatten)]
    read: ReadArgs,
    /// Keys and values as hexadecimal digits
    #[arg(long)]
    hex: bool,
}

pub(super) async fn run(args: ScanArgs, context: &Context) -> Result<Exit, CliError> {
    let options = ScanOptions {
        keys: keys(&args)?,
        revision: args.read.revision(),
        limit: args.limit.unwrap_or(0),
        order: if args.desc { Order::Descending } else { Order::Ascending },
        keys_only: args.keys_only,
        level: args.read.level(),
    };
    let mut scan = context.client.scan(options);
    while let Some(kvs) = scan.next().await? {
        write(&kvs, &args, context)?;
    }
    Ok(Exit::Ok)
}

fn keys(args: &ScanArgs) -> Result<Keys, CliError> {
    let bound = |flag: &'static str| move |text: &String| text::bound(flag, text, args.hex);
    if let Some(prefix) = &args.by_flag {
        return Ok(Keys::Prefix(bound("--prefix")(prefix)?));
    }
    Ok(match (&args.prefix, &args.from, &args.to) {
        (Some(prefix), ..) => Keys::Prefix(bound("the prefix")(prefix)?),
        (None, None, None) => Keys::All,
        (None, from, to) => Keys::Span {
            start: from.as_ref().map(bound("--from")).transpose()?,
            end: to.as_ref().map(bound("--to")).transpose()?,
        },
    })
}

/// Writes a chunk in one piece: a scan may have many lines.
fn write(kvs: &[KeyValue], args: &ScanArgs, context: &Context) -> Result<(), CliError> {
    match context.output.format() {
        Format::Json => context.output.bytes(&json_lines(kvs, args)?),
        Format::Plain => context.output.bytes(&plain_lines(kvs, args)),
        Format::Table => context.output.line(table(kvs, args, context.output.is_terminal())),
    }
}

fn plain_lines(kvs: &[KeyValue], args: &ScanArgs) -> Vec<u8> {
    let mut lines = Vec::new();
    for kv in kvs {
        text::show(&mut lines, &kv.key, args.hex);
        if !args.keys_only {
            lines.push(b'\t');
            text::show(&mut lines, &kv.value, args.hex);
        }
        lines.push(b'\n');
    }
    lines
}

fn json_lines(kvs: &[KeyValue], args: &ScanArgs) -> Result<Vec<u8>, CliError> {
    let mut lines = Vec::new();
    for kv in kvs {
        let shown = text::ShownVersion { kv, keys_only: args.keys_only, as_hex: args.hex };
        let line = serde_json::to_string(&shown).map_err(|error| CliError::local("write JSON", error))?;
        lines.extend_from_slice(screen::json(line).as_bytes());
        lines.push(b'\n');
    }
    Ok(lines)
}

/// On a screen a wide value would push all other columns out of sight.
fn table(kvs: &[KeyValue], args: &ScanArgs, on_screen: bool) -> String {
    let headings: &[&'static str] = if args.keys_only {
        &["KEY", "MODIFIED", "VERSION"]
    } else {
        &["KEY", "VALUE", "MODIFIED", "VERSION"]
    };
    let mut grid = Grid::new(headings);
    for kv in kvs {
        let mut row = vec![text::shown(&kv.key, args.hex)];
        if !args.keys_only {
            row.push(if on_screen {
                text::shown_in_part(&kv.value, args.hex, MOST_SHOWN)
            } else {
                text::shown(&kv.value, args.hex)
            });
        }
        row.extend([kv.mod_revision.to_string(), kv.version.to_string()]);
        grid.row(row);
    }
    grid.render(Format::Table, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Revision;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ScanArgs,
    }

    fn args(line: &[&str]) -> ScanArgs {
        Line::try_parse_from(line).unwrap().args
    }

    #[test]
    fn a_wide_value_is_shown_in_part_on_a_screen_only() {
        let value = "v".repeat(5000);
        let revision = Revision(2);
        let kv = KeyValue {
            key: "k".into(),
            value: value.clone().into(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
        };
        let args = args(&["scan"]);
        let shown = table(std::slice::from_ref(&kv), &args, true);
        assert!(shown.lines().all(|line| line.chars().count() < 120), "{shown}");
        assert!(shown.contains("vv… (4940 bytes more)"), "{shown}");
        assert!(table(&[kv], &args, false).contains(&value));
    }

    #[test]
    fn a_prefix_may_be_a_flag_as_in_delete() {
        for line in [&["scan", "--prefix", "a"][..], &["scan", "a"]] {
            assert_eq!(keys(&args(line)).unwrap(), Keys::Prefix("a".into()));
        }
        assert!(keys(&args(&["scan", "--prefix", ""])).is_err());
        assert!(Line::try_parse_from(["scan", "a", "--prefix", "b"]).is_err());
    }
}
