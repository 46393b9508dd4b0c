//! `kontiki snapshot save` and `kontiki snapshot inspect`

use crate::cli::exit::{CliError, Exit};
use crate::cli::global::Context;
use crate::cli::output::{Format, Grid, Output};
use crate::cli::text;
use crate::client::ReadLevel;
use crate::storage::snapshot::{self, Summary};
use serde_json::json;
use std::fs::File;
use std::io::Write;
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

/// Reads a whole snapshot file, keeping nothing, and says what it holds. The only place of the command line
/// that knows the storage.
fn summary(path: &Path) -> Result<Summary, CliError> {
    let doing = || format!("inspect {}", path.display());
    let file = File::open(path).map_err(|error| CliError::local(doing(), error))?;
    snapshot::inspect(file).map_err(|error| CliError::local(doing(), error))
}

pub(super) async fn save(args: &SaveArgs, context: &Context) -> Result<Exit, CliError> {
    if args.file.exists() && !args.force {
        let message = format!("{} exists; choose another name, or --force", args.file.display());
        return Err(CliError::Usage(message));
    }
    let level = if args.local { ReadLevel::Local } else { ReadLevel::Linearizable };
    let mut stream = context.client.snapshot(level).await?;
    // An interrupted snapshot must never look like a whole one.
    let partial = Partial(PathBuf::from(format!("{}.partial", args.file.display())));
    let doing = || format!("write {}", args.file.display());
    let mut file = File::create(&partial.0).map_err(|error| CliError::local(doing(), error))?;
    let mut bytes = 0_u64;
    while let Some(data) = stream.next().await? {
        file.write_all(&data).map_err(|error| CliError::local(doing(), error))?;
        bytes += data.len() as u64;
    }
    file.sync_all().map_err(|error| CliError::local(doing(), error))?;
    drop(file);
    if let Err(error) = summary(&partial.0) {
        let doing = format!("trust what was saved as {}, and removed it", partial.0.display());
        return Err(CliError::local(doing, error));
    }
    rename(&partial.0, &args.file)
        .map_err(|error| CliError::local(format!("write {}", args.file.display()), error))?;
    let endpoint = stream.endpoint().to_string();
    if context.output.is_json() {
        let file = args.file.display().to_string();
        context.output.json(&json!({"file": file, "bytes": bytes, "endpoint": endpoint}))?;
    } else {
        let size = text::size(bytes);
        context.output.line(format!("OK  {}  {size}  (from {endpoint})", args.file.display()))?;
    }
    Ok(Exit::Ok)
}

/// A file that is not whole yet. Removed when dropped, unless it has been renamed by then.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // On success it is gone already; otherwise the error that led here is the one to report.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Renames the file durably: the directory is synced too.
fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::rename(from, to)?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

pub(super) fn inspect(args: &InspectArgs, output: &Output) -> Result<Exit, CliError> {
    let Summary { header, records, bytes, hash } = summary(&args.file)?;
    let voters = header.members.voters().len();
    if output.format() == Format::Json {
        output.json(&json!({
            "file": args.file.display().to_string(),
            "cluster_id": header.cluster.to_string(),
            "term": header.last.term.get(),
            "index": header.last.index.get(),
            "revision": header.revision.get(),
            "voters": voters,
            "records": records,
            "bytes": bytes,
            "hash": format!("{hash:032x}"),
        }))?;
        return Ok(Exit::Ok);
    }
    let mut grid = Grid::new(&["CLUSTER", "REVISION", "INDEX", "TERM", "VOTERS", "RECORDS", "SIZE", "HASH"]);
    grid.row(vec![
        header.cluster.to_string(),
        header.revision.to_string(),
        header.last.index.to_string(),
        header.last.term.to_string(),
        voters.to_string(),
        records.to_string(),
        text::size(bytes),
        format!("{hash:032x}"),
    ]);
    output.line(format!("The file is whole and sound.\n{}", grid.render(output.format(), output.color())))?;
    Ok(Exit::Ok)
}
