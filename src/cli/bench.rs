//! `kontiki bench`, on the screen.

use crate::bench::args::BenchArgs;
use crate::bench::error::BenchError;
use crate::bench::report::Report;
use crate::bench::{Progress, execute, text};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::report::say;
use std::process::ExitCode;
use tokio::sync::watch;

/// What a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

pub(super) fn run(args: BenchArgs, output: &Output) -> Result<ExitCode, CliError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(BenchError::System)?;
    let report = runtime.block_on(until_done_or_interrupted(args, output))?;
    print(&report, output)?;
    Ok(match () {
        () if report.interrupted => ExitCode::from(INTERRUPTED),
        () if report.failed() => Exit::No.into(),
        () => Exit::Ok.into(),
    })
}

async fn until_done_or_interrupted(args: BenchArgs, output: &Output) -> Result<Report, BenchError> {
    let (interrupt, stop) = watch::channel(false);
    tokio::spawn(async move {
        // Without a handler, Ctrl-C simply ends the program.
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupt.send_replace(true);
            say("\nstopping; press Ctrl-C again to leave at once");
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(INTERRUPTED.into());
            }
        }
    });
    execute(&args, stop, |progress| show(&args, &progress, output)).await
}

/// The heading belongs to the result; the rest goes to standard error, which with -o json has errors alone.
fn show(args: &BenchArgs, progress: &Progress<'_>, output: &Output) {
    if output.is_json() {
        return;
    }
    match progress {
        // Whether anybody reads shows at the end.
        Progress::Found(report) => drop(output.line(text::heading(report).trim_end())),
        Progress::Preloading(keys) => say(&format!("writing all {keys} keys first")),
        Progress::Begins(workload) => {
            let BenchArgs { warmup, duration, .. } = args;
            say(&format!("{}: {warmup:?} of warm-up, then {duration:?} to measure", workload.name()));
        }
    }
}

fn print(report: &Report, output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(report);
    }
    let notes: String = text::notes(report).iter().map(|note| format!("\n* {note}")).collect();
    let gap = if notes.is_empty() { "" } else { "\n" };
    output.line(format!("\n{}{gap}{notes}", text::table(report)))
}
