//! `kontiki completions`

use crate::cli::exit::{CliError, Exit};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  kontiki completions bash > /etc/bash_completion.d/kontiki
  kontiki completions zsh > ~/.zfunc/_kontiki
  source <(kontiki completions bash)
";

/// Write the completion script for a shell
#[derive(Debug, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, program: &mut clap::Command) -> Result<Exit, CliError> {
    clap_complete::generate(args.shell, program, "kontiki", &mut std::io::stdout());
    Ok(Exit::Ok)
}
