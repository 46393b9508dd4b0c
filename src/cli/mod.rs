//! The command line: one file per command.
//!
//! A command is a function from its arguments to an [`Exit`] or a [`CliError`]. What it found goes to standard
//! output, in the form that `-o` says; errors go to standard error, with the layer that failed, the likely
//! cause and the next command to try (see `report`).
//!
//! ```text
//! arguments the words of the line, and what is said where they are wrong
//! clusters  whether the endpoints are of one cluster
//! exit      the meaning of each exit code
//! global    the flags that every command has
//! output    table, json or plain; the one place that writes to standard output
//! report    an error in words and as JSON
//! screen    what a terminal may be shown
//! text      keys, values, sizes and durations for people and for JSON
//! ```

mod arguments;
mod bench;
mod clusters;
mod compact;
mod completions;
mod config;
mod delete;
mod exit;
mod get;
mod global;
mod hash;
mod health;
mod output;
mod put;
mod refusal;
mod report;
mod scan;
mod screen;
mod serve;
mod snapshot;
mod status;
mod text;
mod transfer_leader;
mod txn;
mod verify;

pub use exit::{CliError, Exit};
pub use output::Format;

use crate::bench::BenchArgs;
use crate::dev;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches as _, Parser, Subcommand};
use global::{Context, GlobalArgs};
use output::Output;
use serde_json::json;
use std::process::ExitCode;

/// A distributed key-value store: replicated by Raft, served over gRPC
#[derive(Debug, Parser)]
#[command(
    name = "kontiki",
    version,
    after_long_help = format!("{EXAMPLES}\n{}", exit::HELP)
)]
struct Program {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  kontiki dev                          start three nodes on this machine
  kontiki put hello world              OK  revision 2  (n2, 1.8 ms)
  kontiki get hello                    world
  kontiki scan user/                   all keys that begin with user/
  kontiki status                       the whole cluster, asked from any node
  kontiki txn 'if absent(lock) then put lock me else get lock'
";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeCommand>),
    Dev(dev::DevArgs),
    Put(put::PutArgs),
    Get(get::GetArgs),
    Delete(delete::DeleteArgs),
    Scan(scan::ScanArgs),
    Txn(txn::TxnArgs),
    Compact(compact::CompactArgs),
    Status(status::StatusArgs),
    TransferLeader(transfer_leader::TransferLeaderArgs),
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    Hash(hash::HashArgs),
    Health(health::HealthArgs),
    Bench(BenchArgs),
    Verify(verify::VerifyArgs),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Completions(completions::CompletionsArgs),
    /// Print the version, as --version does
    Version,
}

fn program() -> clap::Command {
    global::unset_empty_variables(global::hide(Program::command()))
}

/// Runs the program with the process's arguments; returns its exit code.
pub fn main() -> ExitCode {
    let matches = match arguments::read(program, &arguments::words()) {
        Ok(matches) => matches,
        Err(exit) => return exit,
    };
    let Program { mut global, command } = match Program::from_arg_matches(&matches) {
        Ok(program) => program,
        Err(error) => error.exit(),
    };
    if matches.value_source("endpoints") == Some(ValueSource::EnvVariable) {
        global.endpoints_from = "KONTIKI_ENDPOINTS";
    }
    let output = global.output();
    let result = match command {
        // These have processes and runtimes of their own.
        Command::Dev(args) => dev::run(args).map(|()| Exit::Ok).map_err(CliError::from),
        Command::Bench(args) => {
            let benched =
                global.endpoints().and_then(|endpoints| bench::run(BenchArgs { endpoints, ..args }, &output));
            match benched {
                Ok(exit) => return exit,
                Err(error) => Err(error),
            }
        }
        Command::Serve(command) => serve::run(&command),
        Command::Config(command) => config::run(&command, &output),
        Command::Verify(args) => verify::run(&args, &output),
        Command::Completions(args) => completions::run(&args, &mut program(), &output),
        Command::Version => version(&output),
        Command::Snapshot(snapshot::SnapshotCommand::Inspect(args)) => snapshot::inspect(&args, &output),
        command => global.context(output).and_then(|context| on_runtime(command, &context)),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => report::report(&error, &output),
    }
}

fn version(output: &Output) -> Result<Exit, CliError> {
    if output.is_json() {
        output.json(&json!({"version": env!("CARGO_PKG_VERSION")}))?;
    } else {
        output.line(program().render_version().trim_end())?;
    }
    Ok(Exit::Ok)
}

/// The commands that talk to a cluster: one thread is enough for them.
fn on_runtime(command: Command, context: &Context) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::local("start the runtime", error))?;
    let exit = runtime.block_on(ask(command, context));
    // A resolver thread that still hangs must not hold up the exit.
    runtime.shutdown_background();
    exit
}

async fn ask(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Put(args) => put::run(args, context).await.map_err(CliError::after_a_write),
        Command::Get(args) => get::run(args, context).await,
        Command::Delete(args) => delete::run(args, context).await.map_err(CliError::after_a_write),
        Command::Scan(args) => scan::run(args, context).await,
        Command::Txn(args) => txn::run(args, context).await.map_err(CliError::after_a_write),
        Command::Compact(args) => compact::run(&args, context).await.map_err(CliError::after_a_write),
        Command::Status(args) => status::run(&args, context).await,
        Command::TransferLeader(args) => {
            transfer_leader::run(args, context).await.map_err(CliError::after_a_write)
        }
        Command::Snapshot(snapshot::SnapshotCommand::Save(args)) => snapshot::save(&args, context).await,
        Command::Hash(args) => hash::run(&args, context).await,
        Command::Health(args) => health::run(&args, context).await,
        Command::Serve(_)
        | Command::Dev(_)
        | Command::Bench(_)
        | Command::Verify(_)
        | Command::Config(_)
        | Command::Completions(_)
        | Command::Version
        | Command::Snapshot(snapshot::SnapshotCommand::Inspect(_)) => {
            unreachable!("main has run these, without a client")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_all_commands_are_consistent() {
        program().debug_assert();
    }

    #[test]
    fn global_flags_show_only_where_they_mean_something_and_are_taken_everywhere() {
        let mut program = program();
        program.build();
        let help = |command: &[&str]| {
            let find =
                |program: &mut clap::Command, name: &&str| program.find_subcommand_mut(name).unwrap().clone();
            let mut found =
                command.iter().fold(program.clone(), |mut program, name| find(&mut program, name));
            found.render_long_help().to_string()
        };
        for command in [&["get"][..], &["status"], &["snapshot", "save"], &["txn"]] {
            let help = help(command);
            assert!(
                help.contains("Client options:") && help.contains("--timeout") && help.contains("--output")
            );
        }
        for command in [
            &["serve"][..],
            &["dev"],
            &["completions"],
            &["verify"],
            &["config", "show"],
            &["snapshot", "inspect"],
        ] {
            let help = help(command);
            assert!(!help.contains("--endpoints") && !help.contains("--timeout "), "{command:?}: {help}");
        }
        assert!(help(&["verify"]).contains("--output"));
        for arguments in
            [["kontiki", "--timeout", "3s", "verify", "f"], ["kontiki", "verify", "f", "--timeout", "3s"]]
        {
            let matches = super::program().try_get_matches_from(arguments).unwrap();
            let Program { global, .. } = Program::from_arg_matches(&matches).unwrap();
            assert_eq!(global.timeout, std::time::Duration::from_secs(3));
        }
    }

    #[test]
    fn every_command_shows_examples_in_its_help() {
        let mut program = program();
        program.build();
        let own = ["dev", "bench", "serve", "config", "completions", "snapshot", "version", "help"];
        for command in program.get_subcommands_mut().filter(|command| !own.contains(&command.get_name())) {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }
}
