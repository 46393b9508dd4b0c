//! `kontiki verify`

use crate::cli::exit::{CliError, Exit};
use crate::cli::output::{Format, Output};
use crate::cli::text;
use crate::verify::{self, Completion, History, Limits, Malformed, Operation, Verdict, Violation, picture};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  kontiki verify history.jsonl
  kontiki verify history.jsonl --picture why.svg     draw what contradicts what
  zcat history.jsonl.gz | kontiki verify -
";

const MANUAL: &str = r#"The file:
  A JSON object per line; two lines per operation, by time for each process:

  {"process":3,"type":"invoke","f":"write","key":"x","value":1,"time_ns":1000}
  {"process":3,"type":"ok","f":"write","key":"x","value":1,"time_ns":5000}

  process   who: a number; a process has one operation open at a time
  type      invoke   called
            ok       done, and this is the answer
            fail     certainly not done, and never will be
            info     outcome unknown: it may take effect at any time after its
                     call, or never; the process may go on. An operation
                     without a second line is unknown too
  f         read, write or cas (compare and swap)
  key       text; each key is a register of its own, absent at first
  value     any JSON value; null is absent, so writing null deletes
            read    null or nothing when called; what was read on the ok line
            write   what is written
            cas     [old,new]; the second line may leave the value out, for
                    write too
  swapped   on the ok line of a cas: true, or false if the old value was not there
  time_ns   nanoseconds on a clock that all processes share. An operation comes
            before another if it ended at an earlier time than the other was
            called; at equal times they are concurrent, even those of one process,
            so do not round
  revision  optional, on ok lines: of a write or a successful cas its own
            revision in the store; of a read or a failed cas the revision of the
            state it saw. Much faster to check, and checked itself: no two
            changes share a revision, and over all keys the order of revisions
            must keep to the clock and explain each answer. Leave it out where an
            operation changed nothing, as a delete of what was absent, and where
            several changes share one, as in a transaction

  Other fields, and empty lines, are passed over. Values are equal if they are
  the same JSON (1 and 1.0 are not). Of fractions 17 digits count; a number from
  2^53 on that is not a 64-bit integer is refused: write it as text.

Exit codes:
  0  linearizable
  1  not linearizable, or the revisions contradict what was done
  2  no such file, it is malformed or has no operation (the error names the line); or the verdict
     or the picture cannot be written
  4  undecided: the search used up its --configurations"#;

/// Check whether a history of reads, writes and swaps is linearizable
///
/// If not, names the shortest window of operations that contradict each other, and draws it with --picture.
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("{EXAMPLES}\n{MANUAL}"))]
pub(super) struct VerifyArgs {
    /// The history, as JSON lines; `-` for standard input
    file: PathBuf,
    /// Draw the offending window to this file: .svg, or .html for a page
    #[arg(long, value_name = "FILE", value_parser = picture_name)]
    picture: Option<PathBuf>,
    /// How many configurations of a key the search may remember, some 40 bytes each
    #[arg(long, value_name = "N", default_value_t = Limits::default().configurations)]
    configurations: usize,
}

fn picture_name(name: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(name);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg" | "html") => Ok(path),
        _ => Err("the name must end in .svg or .html".to_owned()),
    }
}

pub(super) fn run(args: &VerifyArgs, output: &Output) -> Result<Exit, CliError> {
    let history = read(&args.file)?;
    let start = Instant::now();
    let verdict = verify::check(&history, &Limits { configurations: args.configurations });
    let facts = Facts::new(&history, start.elapsed());
    match verdict {
        Verdict::Linearizable => {
            let words = format!("Linearizable: {}", facts.words());
            exit_code(say(output, &facts, "linearizable", &json!({}), &words), Exit::Ok)
        }
        Verdict::NotLinearizable(violation) => {
            let words = format!("NOT linearizable: {}\n{}", facts.words(), in_words(&violation));
            let code =
                exit_code(say(output, &facts, "not_linearizable", &as_json(&violation), &words), Exit::No);
            // The words are printed even if the picture cannot be drawn.
            args.picture.as_deref().map_or(Ok(()), |path| draw(path, &violation)).and(code)
        }
        Verdict::Undecided(why) => {
            let words = format!("Undecided: {}\n{why}; try more --configurations", facts.words());
            exit_code(say(output, &facts, "undecided", &json!({"why": why}), &words), Exit::Unknown)
        }
    }
}

/// The exit code of a verdict, even if nobody reads standard output. Other failures get another exit code, so
/// that none passes for a verdict.
fn exit_code(said: Result<(), CliError>, verdict: Exit) -> Result<Exit, CliError> {
    match said {
        Ok(()) | Err(CliError::OutputClosed) => Ok(verdict),
        Err(error) => Err(CliError::Usage(error.to_string())),
    }
}

/// A file that cannot be read is wrong usage here: exit code 1 is a verdict.
fn read(path: &Path) -> Result<History, CliError> {
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let unreadable = |error| CliError::Usage(format!("cannot read {}: {error}", name(path)));
        Box::new(File::open(path).map_err(unreadable)?)
    };
    let history = verify::read(BufReader::with_capacity(1 << 16, input)).map_err(|error| match error {
        Malformed::Line { .. } => CliError::Usage(format!(
            "{}, {error}; kontiki verify --help shows the form of a line",
            name(path)
        )),
        Malformed::Io(error) => CliError::Usage(format!("cannot read {}: {error}", name(path))),
    })?;
    if history.is_empty() {
        // Whatever should have written the history may have failed.
        return Err(CliError::Usage(format!("{}: there are no operations to check", name(path))));
    }
    Ok(history)
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    if path == Path::new("-") { "standard input".into() } else { path.to_string_lossy() }
}

fn draw(path: &Path, violation: &Violation) -> Result<(), CliError> {
    let is_page = path.extension().is_some_and(|extension| extension == "html");
    let text = if is_page { picture::html(violation) } else { picture::svg(violation) };
    std::fs::write(path, text)
        .map_err(|error| CliError::Usage(format!("cannot write {}: {error}", path.display())))
}

struct Facts {
    operations: usize,
    unknown: usize,
    keys: usize,
    processes: usize,
    took: Duration,
}

impl Facts {
    fn new(history: &History, took: Duration) -> Self {
        let operations = history.operations();
        Self {
            operations: operations.len(),
            unknown: operations.iter().filter(|one| one.outcome == Completion::Unknown).count(),
            keys: operations.iter().map(|one| &*one.key).collect::<BTreeSet<_>>().len(),
            processes: operations.iter().map(|one| one.process).collect::<BTreeSet<_>>().len(),
            took,
        }
    }

    fn words(&self) -> String {
        let Self { operations, unknown, keys, processes, took } = self;
        let took = text::duration(*took);
        format!(
            "{operations} operations ({unknown} of unknown outcome), keys: {keys}, processes: {processes}, {took}"
        )
    }
}

fn say(output: &Output, facts: &Facts, verdict: &str, more: &Value, words: &str) -> Result<(), CliError> {
    if output.format() != Format::Json {
        return output.line(words);
    }
    let mut object = json!({
        "verdict": verdict,
        "operations": facts.operations,
        "unknown": facts.unknown,
        "keys": facts.keys,
        "processes": facts.processes,
        "seconds": facts.took.as_secs_f64(),
    });
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more.clone());
    }
    output.json(&object)
}

fn in_words(violation: &Violation) -> String {
    let mut lines = vec![violation.to_string(), "The shortest offending window:".to_owned()];
    for (place, operation) in violation.operations.iter().enumerate() {
        let mark = if place == violation.culprit { "x" } else { " " };
        lines.push(format!(" {mark} {operation}"));
    }
    if !violation.context.is_empty() {
        lines.push("Others that had one of these values:".to_owned());
        lines.extend(violation.context.iter().map(|operation| format!("   {operation}")));
    }
    lines.join("\n")
}

fn as_json(violation: &Violation) -> Value {
    let words =
        |operations: &[Operation]| -> Vec<String> { operations.iter().map(ToString::to_string).collect() };
    json!({
        "kind": match violation.kind {
            verify::Kind::Order => "order",
            verify::Kind::Revisions => "revisions",
        },
        "key": &*violation.key,
        "message": violation.to_string(),
        "from_ns": violation.from_ns(),
        "until_ns": violation.until_ns(),
        "culprit": violation.culprit,
        "window": words(&violation.operations),
        "others": words(&violation.context),
    })
}
