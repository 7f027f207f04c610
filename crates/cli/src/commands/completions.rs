//! `handover completions`: what a shell needs to complete commands.

use super::Start;
use crate::cli::Cli;
use crate::printer::Outcome;
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::process::ExitCode;

const HELP: &str = "\
Examples:
  handover completions bash > ~/.local/share/bash-completion/completions/handover
  handover completions zsh > ~/.zfunc/_handover
  handover completions fish > ~/.config/fish/completions/handover.fish";

/// The arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "handover", &mut script);
    start.printer.data(String::from_utf8_lossy(&script).trim_end());
    Ok(ExitCode::SUCCESS)
}
