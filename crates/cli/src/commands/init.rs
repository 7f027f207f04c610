//! `handover init`: a small project that works, to begin from.
//!
//! Nothing that is there is changed: each file is made whole, under a name that nothing has.

use super::{Start, shown};
use crate::printer::Outcome;
use handover_core::{Error, Result};
use handover_file::{AtomicFile, make_dirs};
use handover_runtime::config::FILE_NAME;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a project begins with; the configuration comes last, so that one which is there is a whole project.
const FILES: [(&str, &[u8]); 5] = [
    (
        "incoming/sales.csv",
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/first/incoming/sales.csv")),
    ),
    (
        "schemas/sales.json",
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/first/schemas/sales.json")),
    ),
    ("score.py", include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/first/score.py"))),
    (".gitignore", b"/data/\n/outgoing/\n"),
    (FILE_NAME, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/handover.yaml"))),
];

const HELP: &str = "\
Makes handover.yaml with a flow of four apps (import, validate, a Python script, export), the script, a schema and a \
sample CSV file to run it on. Files that are there stay as they are; where a handover.yaml is there, nothing is made.

Example:
  handover init sales && cd sales && handover run --once";

/// The arguments of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The project's folder, made where it is missing [default: here]
    dir: Option<PathBuf>,
}

/// Makes it.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    if dir.join(FILE_NAME).exists() {
        return Err(Error::config("this folder has a project already: nothing was changed")
            .on(shown(&dir.join(FILE_NAME)))
            .hint("`handover check` says whether it is in order; `handover init DIR` makes another")
            .into());
    }
    let (mut made, mut kept) = (Vec::new(), Vec::new());
    for (name, content) in FILES {
        let path = dir.join(name);
        if write_new(&path, content)? { made.push(name) } else { kept.push(name) }
    }
    if start.printer.is_json() {
        start.printer.json(&serde_json::json!({ "folder": dir, "made": made, "kept": kept }));
        return Ok(ExitCode::SUCCESS);
    }
    let here = args.dir.as_ref().is_none_or(|dir| dir == Path::new("."));
    let folder = if here { "this folder".to_owned() } else { shown(&dir) };
    start.printer.data(format_args!("A project is in {folder}: {}.", made.join(", ")));
    if !kept.is_empty() {
        start.printer.data(format_args!("Left as they were: {}.", kept.join(", ")));
    }
    start.printer.data("\nNext:");
    if !here {
        start.printer.data(format_args!("  cd {}", quoted(&shown(&dir))));
    }
    for line in [
        "  handover run --once     ten sales go through: eight to outgoing/, two to data/errors with the reason",
        "  handover status         what each app did",
        "  handover run            stay, and take each file that comes into incoming/",
    ] {
        start.printer.data(line);
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a file and the folders above it, unless something has its name. Tells whether it was made.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<bool> {
    if std::fs::symlink_metadata(path).is_ok() {
        return Ok(false);
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_dirs(folder)?;
    }
    let mut file = AtomicFile::create(path)?;
    file.write_all(content).map_err(|e| Error::io("write", shown(path), e))?;
    file.commit_new()
}

/// A path as a shell reads it.
pub(crate) fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}
