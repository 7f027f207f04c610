//! `handover openapi`: the OpenAPI document of the API.

use super::Start;
use crate::printer::Outcome;
use handover_api::document::document;
use handover_runtime::config::Config;
use std::process::ExitCode;

const HELP: &str = "\
The document of the configuration's own API, with an operation for each app; --plain prints what every API has, without a \
configuration. A running API serves the first at /api/openapi.json, and shows it at /api/docs.

Example, for a client in Python:
  handover openapi > openapi.json && openapi-python-client generate --path openapi.json";

/// The arguments of `openapi`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Without the apps of a configuration
    #[arg(long)]
    plain: bool,
}

/// Prints it.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let config: Option<Config> = if args.plain { None } else { Some(start.config()?) };
    let document = document(config.as_ref())?;
    start.printer.data(serde_json::to_string_pretty(&document).unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}
