//! `kontiki completions`

use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  kontiki completions bash > /etc/bash_completion.d/kontiki
  kontiki completions zsh > ~/.zfunc/_kontiki
  source <(kontiki completions bash)
";

/// Write the completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(
    args: &CompletionsArgs,
    program: &mut clap::Command,
    output: &Output,
) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, program, "kontiki", &mut script);
    output.bytes(&script)?;
    Ok(Exit::Ok)
}
