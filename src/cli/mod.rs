//! The command line: one file or folder per command.

pub mod bench;
pub mod dev;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "kontiki", version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster on this machine, to try and to develop against.
    Dev(dev::DevArgs),
    /// Measure how fast a cluster is.
    Bench(bench::BenchArgs),
}

/// Runs the program.
pub fn main() -> ExitCode {
    match Program::parse().command {
        Command::Dev(args) => dev::run(args),
        Command::Bench(args) => bench::run(args),
    }
}
