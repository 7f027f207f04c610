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
    /// Check rows against a Table Schema, or records against a JSON Schema: good ones pass, bad ones get a reason
    Validator(Box<ValidatorArgs>),
    /// Convert between formats; select, rename, cast, filter, compute, sort and deduplicate
    DataTransformer(Box<TransformerArgs>),
    /// Add columns from reference files, and columns calculated by CEL
    Enricher(Box<EnricherArgs>),
    /// Write in another format, dialect or compression, whole or in parts, and verify what was written
    FileExporter(Box<ExporterArgs>),
    /// Copy byte for byte and count the rows
    FileImporter(Box<ImporterArgs>),
}

/// What every app takes.
#[derive(Debug, Default, Args)]
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
    /// Say what would come of it, and write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Stop after so many rows of the input
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Say the summary as one line of JSON, on standard error
    #[arg(long)]
    pub(super) json: bool,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "json")]
    pub(super) quiet: bool,
}

/// How the input is read. Whether it is compressed is seen by itself.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "How the input is read")]
pub(super) struct Formats {
    /// The format; by default what the extension says, or CSV
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(super) in_format: Option<FormatArg>,
    /// What stands between cells, one character; `\t` or `tab` is a tab
    #[arg(short, long, value_name = "CHAR")]
    pub(super) delimiter: Option<String>,
    /// What encloses cells; '' if nothing does
    #[arg(long, value_name = "CHAR")]
    pub(super) quote: Option<String>,
    /// What makes the next character literal
    #[arg(long, value_name = "CHAR")]
    pub(super) escape: Option<String>,
    /// What a line that is no row begins with
    #[arg(long, value_name = "CHAR")]
    pub(super) comment: Option<String>,
    /// The first row is a row, and names no columns
    #[arg(long)]
    pub(super) no_header: bool,
    /// The characters' encoding, such as windows-1252, or `detect`
    #[arg(long, value_name = "NAME")]
    pub(super) encoding: Option<String>,
    /// Find out the delimiter and the encoding from the beginning of the input
    #[arg(long)]
    pub(super) sniff: bool,
}

/// How the output is compressed.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "How the output is written")]
pub(super) struct Outputs {
    /// How to compress; by default what the output's extension says
    #[arg(long, value_enum)]
    pub(super) compression: Option<CompressionArg>,
    /// How hard: 0 to 12 for gzip, 1 to 22 for zstd
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) level: Option<i32>,
}

/// A format by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    /// A table, with commas
    Csv,
    /// A table with tabs
    Tsv,
    /// One JSON value a line
    Ndjson,
    /// One JSON array
    Json,
}

impl FormatArg {
    /// As a configuration says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Ndjson => "ndjson",
            Self::Json => "json",
        }
    }
}

/// A compression by its name.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum CompressionArg {
    None,
    Gzip,
    Zstd,
}

impl CompressionArg {
    /// As a configuration says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct ValidatorArgs {
    /// The Table Schema or JSON Schema, a JSON file
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<PathBuf>,
    /// Write a first Table Schema for the input, and check nothing
    #[arg(long, conflicts_with_all = ["schema", "max_error_rate", "examples", "rejected", "report", "format"])]
    pub(super) infer: bool,
    /// The share of bad rows, 0.0 to 1.0, above which all is refused (exit code 65)
    #[arg(long, value_name = "SHARE")]
    pub(super) max_error_rate: Option<f64>,
    /// How many examples of errors the report has
    #[arg(long, value_name = "N")]
    pub(super) examples: Option<u64>,
    /// Where the rejected rows go; without it they are only counted
    #[arg(long, value_name = "FILE")]
    pub(super) rejected: Option<PathBuf>,
    /// Where the report goes
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// The report for programs or for people; without --report, `text` says it on standard error
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) format: Option<ReportForm>,
    #[command(flatten)]
    pub(super) streams: Streams,
    #[command(flatten)]
    pub(super) formats: Formats,
    #[command(flatten)]
    pub(super) outputs: Outputs,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportForm {
    /// As JSON
    Json,
    /// As text
    Text,
}

#[derive(Debug, Args)]
pub(super) struct TransformerArgs {
    /// The mapping: a YAML or JSON file with the keys of `with:`
    #[arg(long, value_name = "FILE")]
    pub(super) mapping: Option<PathBuf>,
    /// The fields of the output, in this order: a,b,c
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub(super) select: Vec<String>,
    /// Give a field another name: OLD=NEW
    #[arg(long, value_name = "OLD=NEW")]
    pub(super) rename: Vec<String>,
    /// Keep only the records for which this CEL expression is true
    #[arg(long, value_name = "CEL")]
    pub(super) filter: Option<String>,
    /// Add a calculated field, such as: --compute 'total=double(quantity) * double(price)'
    #[arg(long, value_name = "FIELD=CEL")]
    pub(super) compute: Vec<String>,
    /// The format of the output; by default what its extension says, or the input's
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(super) out_format: Option<FormatArg>,
    /// What stands between the cells of the output
    #[arg(long, value_name = "CHAR")]
    pub(super) out_delimiter: Option<String>,
    /// Where the rejected rows go; without it they are only counted
    #[arg(long, value_name = "FILE")]
    pub(super) rejected: Option<PathBuf>,
    #[command(flatten)]
    pub(super) streams: Streams,
    #[command(flatten)]
    pub(super) formats: Formats,
    #[command(flatten)]
    pub(super) outputs: Outputs,
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
    #[command(flatten)]
    pub(super) formats: Formats,
    #[command(flatten)]
    pub(super) outputs: Outputs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Unmatched {
    /// They pass, with empty columns
    Keep,
    /// They are rejected
    Reject,
    /// They are left out
    Filter,
}

impl Unmatched {
    /// As a configuration says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Reject => "reject",
            Self::Filter => "filter",
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct ExporterArgs {
    /// The format of the output; by default what its extension says, or the input's
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(super) out_format: Option<FormatArg>,
    /// What stands between the cells of the output
    #[arg(long, value_name = "CHAR")]
    pub(super) out_delimiter: Option<String>,
    /// Split into files of so many rows; `{part}` in the name of -o is which of them it is: 001, 002, …
    #[arg(long, value_name = "N", requires = "output")]
    pub(super) split_rows: Option<u64>,
    /// Split into files of about this size before compression, such as 100MB
    #[arg(long, value_name = "SIZE", requires = "output")]
    pub(super) split_size: Option<String>,
    /// Where rejected rows go, which a conversion may have; without it they are only counted
    #[arg(long, value_name = "FILE")]
    pub(super) rejected: Option<PathBuf>,
    #[command(flatten)]
    pub(super) streams: Streams,
    #[command(flatten)]
    pub(super) formats: Formats,
    #[command(flatten)]
    pub(super) outputs: Outputs,
}

#[derive(Debug, Args)]
pub(super) struct ImporterArgs {
    #[command(flatten)]
    pub(super) streams: Streams,
    #[command(flatten)]
    pub(super) formats: Formats,
}
