//! The command line of `handover app`.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Run a built-in app by itself, as an ordinary console program.
#[derive(Debug, Args)]
pub(crate) struct AppArgs {
    #[command(subcommand)]
    pub(super) app: AppCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum AppCommand {
    /// Check CSV rows against a Table Schema: good rows pass, bad ones get a reason
    Validator(ValidatorArgs),
    /// Add columns from reference files, and columns calculated by CEL
    Enricher(EnricherArgs),
    /// Copy with or without compression, and verify what was written
    FileExporter(ExporterArgs),
    /// Copy byte for byte and count the rows
    FileImporter(ImporterArgs),
    /// Comes with a later version
    #[command(hide = true, disable_help_flag = true)]
    DataTransformer {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _rest: Vec<String>,
    },
}

/// What every app takes.
#[derive(Debug, Args)]
pub(super) struct Streams {
    /// The input; standard input if not given, or `-`
    pub(super) input: Option<PathBuf>,
    /// Where the output goes; standard output if not given
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// The configuration: a JSON file, `-` for standard input, or the JSON itself; the same keys as `with:`
    #[arg(long, value_name = "FILE|-|JSON")]
    // The same type as the option of this name that every command has, or clap would mix them up.
    pub(super) config: Option<PathBuf>,
    /// Say the summary as one line of JSON, on standard error
    #[arg(long)]
    pub(super) json: bool,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "json")]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct ValidatorArgs {
    /// The Table Schema, a JSON file
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<PathBuf>,
    /// The share of bad rows, 0.0 to 1.0, above which all is refused (exit code 65)
    #[arg(long, value_name = "SHARE")]
    pub(super) max_error_rate: Option<f64>,
    /// How many examples of errors the report has
    #[arg(long, value_name = "N")]
    pub(super) examples: Option<u64>,
    /// Where the rejected rows go; without it they are only counted
    #[arg(long, value_name = "FILE")]
    pub(super) rejected: Option<PathBuf>,
    /// Where the report goes, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    #[command(flatten)]
    pub(super) streams: Streams,
}

#[derive(Debug, Args)]
pub(super) struct EnricherArgs {
    /// Take columns from a reference file, such as: --lookup regions.csv region:code region_name:name,zone
    /// (ours:theirs, or one name where both are the same)
    #[arg(long, num_args = 3, value_names = ["FILE", "KEY", "COLUMNS"])]
    pub(super) lookup: Vec<String>,
    /// What becomes of rows whose key a reference does not have, for each --lookup
    #[arg(long, value_enum, requires = "lookup")]
    pub(super) unmatched: Option<Unmatched>,
    /// Add a calculated column, such as: --compute 'total=double(quantity) * double(price)'
    #[arg(long, value_name = "COLUMN=CEL")]
    pub(super) compute: Vec<String>,
    /// Where the rejected rows go; without it they are only counted
    #[arg(long, value_name = "FILE")]
    pub(super) rejected: Option<PathBuf>,
    #[command(flatten)]
    pub(super) streams: Streams,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Unmatched {
    /// They pass, with empty columns
    Keep,
    /// They are rejected
    Reject,
}

#[derive(Debug, Args)]
pub(super) struct ExporterArgs {
    /// How to compress
    #[arg(long, value_enum)]
    pub(super) compression: Option<Compression>,
    /// How hard: 0 to 9 for gzip, 1 to 22 for zstd
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) level: Option<i32>,
    #[command(flatten)]
    pub(super) streams: Streams,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

#[derive(Debug, Args)]
pub(super) struct ImporterArgs {
    #[command(flatten)]
    pub(super) streams: Streams,
}
