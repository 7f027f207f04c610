//! The command line, as it is parsed. What the commands make of it is in [`crate::commands`].

use crate::commands;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Hands data from one console program to the next: atomic, checked, replayable, observable.
#[derive(Debug, Parser)]
#[command(name = "handover", version, disable_help_subcommand = true, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// The configuration [default: handover.yaml here or in a folder above]
    #[arg(short, long, global = true, value_name = "FILE", env = "HANDOVER_CONFIG_FILE", hide_env = true)]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON wherever a person would see a table
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more in the log: -v what happens, -vv everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands, in the order in which a person meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Work: watch folders, run apps, hand files over, until stopped
    Run(commands::run::Args),
    /// The process that keeps programs in hand; `run` starts it by itself
    #[command(hide = true)]
    Guard,
}
