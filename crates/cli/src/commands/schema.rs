//! `handover schema`: the JSON Schema of handover.yaml, for editors.

use super::Start;
use crate::printer::Outcome;
use handover_runtime::config::json_schema;
use std::process::ExitCode;

const HELP: &str = "\
Example, for editors with a YAML language server:
  handover schema > handover.schema.json
and as the first line of handover.yaml:
  # yaml-language-server: $schema=handover.schema.json";

/// The arguments of `schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {}

/// Prints it.
pub(crate) fn run(start: &Start, _: Args) -> Outcome {
    start.printer.data(serde_json::to_string_pretty(&json_schema()).unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}
