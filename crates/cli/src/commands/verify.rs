//! `handover verify`: every file against its manifest, in any directory.

use super::{Start, shown, shown_here};
use crate::printer::Outcome;
use crate::table::{Column, Table};
use handover_core::{Error, path_text};
use handover_file::verify::{Finding, Grade, verify_each};
use handover_runtime::operations::times;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
Reads every file and compares its size and SHA-256 with its manifest, archived files down to their original content. \
Says what is missing, damaged, without a manifest, or left behind. Needs neither project nor ledger, and changes \
nothing. Exit code 1 where data is missing, damaged or unreadable.

Examples:
  handover verify
  handover verify /mnt/backup/data outgoing/file-exporter_sales_2025-11-24_001.csv";

/// The arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Files and folders [default: the project's data directory]
    paths: Vec<PathBuf>,
    /// Show the sound files too
    #[arg(long)]
    all: bool,
}

/// Verifies them.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let paths = if args.paths.is_empty() { vec![start.config()?.data] } else { args.paths.clone() };
    let mut listed: Vec<Finding> = Vec::new();
    let (mut sound, mut warned, mut failed) = (0u64, 0u64, 0u64);
    for path in &paths {
        if std::fs::symlink_metadata(path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
            let error = Error::not_found("there is nothing of this name").on(shown(path));
            return Err(error
                .hint("name a file or a folder; without one it is the project's data directory")
                .into());
        }
        verify_each(path, &mut |finding| {
            *match finding.status {
                Grade::Ok => &mut sound,
                Grade::Warn => &mut warned,
                Grade::Fail => &mut failed,
            } += 1;
            if args.all || finding.status != Grade::Ok {
                listed.push(finding);
            }
        })?;
    }
    let code = if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    let printer = start.printer;
    if printer.is_json() {
        printer.json(&json!({ "ok": sound, "warn": warned, "fail": failed, "findings": listed }));
        return Ok(code);
    }
    if !listed.is_empty() {
        let mut table = Table::new(&[Column::left("status"), Column::left("file"), Column::left("finding")]);
        for finding in &listed {
            let status = match finding.status {
                Grade::Ok => "ok",
                Grade::Warn => "warn",
                Grade::Fail => "FAIL",
            };
            // Where the message names the file again, the name stands once.
            let file = shown_here(&path_text::from_text(&finding.path));
            let message = finding
                .message
                .replace(&format!("{}: ", finding.path), "")
                .replace(&format!(": {}", finding.path), "");
            table.row([status.to_owned(), file, message]);
        }
        printer.data(table);
    }
    let files = |count: u64| times::count(count, "file");
    match (failed, warned) {
        (0, 0) if sound == 0 => printer.data("there is no file with a manifest here"),
        (0, 0) => printer.data(format_args!("{}: each is what its manifest says", files(sound))),
        (0, _) => {
            printer.data(format_args!("{} sound, {} worth a look", files(sound), times::number(warned)))
        }
        _ => printer.data(format_args!(
            "{} sound, {} failed, {} worth a look",
            files(sound),
            times::number(failed),
            times::number(warned)
        )),
    }
    Ok(code)
}
