//! `kontiki snapshot save` and `kontiki snapshot inspect`

use crate::cli::exit::{CliError, Exit};
use crate::cli::global::Context;
use crate::cli::output::{Format, Grid, Output};
use crate::cli::text;
use crate::client::ReadLevel;
use crate::machine::Contents;
use crate::storage::snapshot::{Decoder, Summary};
use bytes::Bytes;
use serde_json::json;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

const SAVE_EXAMPLES: &str = "\
Examples:
  kontiki snapshot save backup.snapshot
  kontiki --endpoints http://127.0.0.1:2381 snapshot save --local n2.snapshot   what n2 has
";

const INSPECT_EXAMPLES: &str = "\
Examples:
  kontiki snapshot inspect backup.snapshot
";

/// Save the whole state to a file, or look into such a file
#[derive(Debug, clap::Subcommand)]
pub(super) enum SnapshotCommand {
    /// Save the whole state, consistent at one revision, while writes go on
    #[command(after_long_help = SAVE_EXAMPLES)]
    Save(SaveArgs),
    /// Check a snapshot file from end to end and say what it holds
    #[command(after_long_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
}

/// Flags of `save`.
#[derive(Debug, clap::Args)]
pub(super) struct SaveArgs {
    /// The file to write
    file: PathBuf,
    /// Save what the asked node has, without asking the others
    #[arg(long)]
    local: bool,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Flags of `inspect`.
#[derive(Debug, clap::Args)]
pub(super) struct InspectArgs {
    /// The file to read
    file: PathBuf,
}

/// What a snapshot file holds.
struct Inspected {
    summary: Summary,
    /// `None` if the records are of a kind that this program does not know.
    contents: Option<Contents>,
}

/// Reads a whole snapshot file, keeping little, and says what it holds. The only place of the command line that knows the
/// storage.
fn inspected(path: &Path) -> Result<Inspected, CliError> {
    let doing = || format!("inspect {}", path.display());
    let mut file = File::open(path).map_err(|error| CliError::local(doing(), error))?;
    let mut decoder = Decoder::new();
    let mut contents = Some(Contents::default());
    let mut piece = vec![0; 256 << 10];
    loop {
        let length = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CliError::local(doing(), error)),
        };
        let records = decoder.push(&piece[..length]).map_err(|error| CliError::local(doing(), error))?;
        contents = contents.and_then(|contents| counted(contents, &records));
    }
    let summary = decoder.finish().map_err(|error| CliError::local(doing(), error))?;
    Ok(Inspected { summary, contents })
}

fn counted(mut contents: Contents, records: &[(Bytes, Bytes)]) -> Option<Contents> {
    records.iter().try_for_each(|(key, value)| contents.add(key, value)).ok()?;
    Some(contents)
}

pub(super) async fn save(args: &SaveArgs, context: &Context) -> Result<Exit, CliError> {
    if args.file == Path::new("-") {
        // It is checked as a whole before it gets its name, and standard output could not be taken back.
        return Err(CliError::Usage(
            "`-` is not a file, and a snapshot is not written to standard output; name a file, or ./- for one of that name"
                .to_owned(),
        ));
    }
    let target = target(&args.file, args.force)?;
    let saved = tokio::select! {
        saved = receive(args, context, &target) => saved?,
        // What is not whole yet goes with it.
        () = interrupted() => return Err(CliError::local(format!("save {}", args.file.display()), "interrupted")),
    };
    let Saved { bytes, revision, endpoint } = saved;
    if context.output.is_json() {
        let file = args.file.display().to_string();
        context
            .output
            .json(&json!({"file": file, "bytes": bytes, "revision": revision, "endpoint": endpoint}))?;
    } else {
        let size = text::size(bytes);
        let file = args.file.display();
        context.output.line(format!("OK  {file}  revision {revision}  {size}  (from {endpoint})"))?;
    }
    Ok(Exit::Ok)
}

/// The file to write. A symbolic link stays, and the file behind it is replaced; anything but a regular file is left alone.
fn target(file: &Path, force: bool) -> Result<PathBuf, CliError> {
    let Ok(there) = file.symlink_metadata() else { return Ok(file.to_owned()) };
    if !force {
        return Err(CliError::Usage(format!("{} exists; choose another name, or --force", file.display())));
    }
    let behind = if there.is_symlink() { file.canonicalize() } else { Ok(file.to_owned()) };
    match behind {
        Ok(behind) if behind.is_file() => Ok(behind),
        _ => Err(CliError::Usage(format!(
            "{} is not a regular file, and only such a file is replaced; choose another name",
            file.display()
        ))),
    }
}

/// A snapshot that is whole and durable.
struct Saved {
    bytes: u64,
    revision: u64,
    endpoint: String,
}

/// Under a name of its own until it is whole: an interrupted snapshot must never look like one, and of two that are saved
/// under the same name each stays whole. Like every new temporary file it can be read by its owner alone.
async fn receive(args: &SaveArgs, context: &Context, target: &Path) -> Result<Saved, CliError> {
    let failed = |error: std::io::Error| CliError::local(format!("write {}", target.display()), error);
    let level = if args.local { ReadLevel::Local } else { ReadLevel::Linearizable };
    let mut stream = context.client.snapshot(level).await?;
    let mut partial =
        tempfile::Builder::new().suffix(".partial").tempfile_in(folder(target)).map_err(failed)?;
    let mut bytes = 0;
    while let Some(data) = stream.next().await? {
        partial.write_all(&data).map_err(failed)?;
        bytes += data.len() as u64;
    }
    partial.as_file().sync_all().map_err(failed)?;
    let inspected = inspected(partial.path())
        .map_err(|error| CliError::local("trust what was saved, and removed it", error))?;
    let named = if args.force { partial.persist(target) } else { partial.persist_noclobber(target) };
    named.map_err(|error| failed(error.error))?;
    // So that the name is durable too.
    File::open(folder(target)).and_then(|folder| folder.sync_all()).map_err(failed)?;
    let revision = inspected.summary.header.revision.get();
    Ok(Saved { bytes, revision, endpoint: stream.endpoint().to_string() })
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Ends by SIGINT or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

pub(super) fn inspect(args: &InspectArgs, output: &Output) -> Result<Exit, CliError> {
    let Inspected { summary, contents } = inspected(&args.file)?;
    let Summary { header, records, bytes, hash } = summary;
    let keys = contents.as_ref().map(Contents::keys);
    let versions = contents.as_ref().map(Contents::versions);
    let voters = header.members.voters().len();
    if output.format() == Format::Json {
        output.json(&json!({
            "file": args.file.display().to_string(),
            "cluster_id": header.cluster.to_string(),
            "term": header.last.term.get(),
            "index": header.last.index.get(),
            "revision": header.revision.get(),
            "voters": voters,
            "keys": keys,
            "versions": versions,
            "records": records,
            "bytes": bytes,
            "hash": format!("{hash:032x}"),
        }))?;
        return Ok(Exit::Ok);
    }
    let mut grid =
        Grid::new(&["CLUSTER", "REVISION", "KEYS", "VERSIONS", "INDEX", "TERM", "VOTERS", "SIZE", "HASH"]);
    let count = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    grid.row(vec![
        header.cluster.to_string(),
        header.revision.to_string(),
        count(keys),
        count(versions),
        header.last.index.to_string(),
        header.last.term.to_string(),
        voters.to_string(),
        text::size(bytes),
        format!("{hash:032x}"),
    ]);
    output.line(format!(
        "The file is complete and undamaged.\n{}",
        grid.render(output.format(), output.color())
    ))?;
    Ok(Exit::Ok)
}
