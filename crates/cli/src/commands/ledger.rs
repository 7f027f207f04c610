//! `handover ledger copy`: the history moves to another ledger.

use super::{Start, block_on};
use crate::printer::Outcome;
use handover_core::{Error, Result};
use handover_runtime::config::LedgerAddress;
use handover_runtime::operations::{copy, times};
use std::process::ExitCode;

const HELP: &str = "\
The copy is the same ledger in another place: with its numbers, names, arrivals and history, so that the data directory \
takes it for its own. Stop every `handover run` first; afterwards let `ledger:` in handover.yaml name the copy. The ledger \
that was copied from is left as it is: keep it as a backup, and do not run it any more.

Examples:
  handover ledger copy data/.handover/ledger.db postgres://handover@db.example/handover
  handover ledger copy postgres://handover@db.example/handover data/.handover/ledger.db";

/// The arguments of `ledger`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: LedgerCommand,
}

#[derive(Debug, clap::Subcommand)]
enum LedgerCommand {
    /// Copy a whole ledger into an empty one, of whatever kind
    Copy(CopyArgs),
}

/// The arguments of `ledger copy`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
struct CopyArgs {
    /// The ledger with the history: a file, or postgres://…
    #[arg(value_name = "FROM", value_parser = address)]
    from: LedgerAddress,
    /// The ledger that it goes to, new or empty: a file, or postgres://…
    #[arg(value_name = "TO", value_parser = address)]
    to: LedgerAddress,
}

fn address(text: &str) -> Result<LedgerAddress, String> {
    LedgerAddress::named(text).map_err(|e: Error| match e.hint_text() {
        Some(hint) => format!("{e} ({hint})"),
        None => e.to_string(),
    })
}

/// Runs it.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    let LedgerCommand::Copy(args) = args.command;
    let copy::Done { from, to, copied } = block_on(copy::copy(&args.from, &args.to))??;
    let printer = start.printer;
    if printer.is_json() {
        let parts = copied.iter().map(|(part, rows)| (part.label().to_owned(), (*rows).into()));
        let parts: serde_json::Map<String, serde_json::Value> = parts.collect();
        printer.json(&serde_json::json!({ "from": from, "to": to, "copied": parts }));
        return Ok(ExitCode::SUCCESS);
    }
    for (part, rows) in copied.iter().filter(|(_, rows)| *rows > 0) {
        printer.data(format_args!("{:>12} {}", times::number(*rows), part.label()));
    }
    printer.talk(format_args!("copied {from} to {to}"));
    printer.talk("let `ledger:` in handover.yaml name the copy, and do not run the other any more");
    Ok(ExitCode::SUCCESS)
}
