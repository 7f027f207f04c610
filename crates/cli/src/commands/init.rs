//! `handover init`: a small project that works, to begin from; or one that is made of a crontab ([`crontab`]).
//!
//! Nothing that is there is changed: each file is made whole, under a name that nothing has.

mod crontab;

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

With --from-crontab it reads a crontab instead, and proposes a handover.yaml with each job as an app with a schedule. The crontab \
is not changed, and nothing is run; what cannot be taken over is said line by line.

Examples:
  handover init sales && cd sales && handover run --once
  handover init jobs --from-crontab               the crontab of this user
  handover init jobs --from-crontab /etc/crontab
  ssh web crontab -l | handover init jobs --from-crontab -";

/// The arguments of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The project's folder, made where it is missing [default: here]
    dir: Option<PathBuf>,
    /// Propose apps for the jobs of a crontab: a file, - for stdin [default: what `crontab -l` prints]
    #[arg(long, value_name = "FILE")]
    #[allow(clippy::option_option, reason = "clap's way to say that the value may be left out")]
    from_crontab: Option<Option<PathBuf>>,
    /// Its jobs name a user before the command, as in /etc/crontab [default: as the jobs look]
    #[arg(long, requires = "from_crontab")]
    system: bool,
    /// Its jobs name no user, as in `crontab -l`
    #[arg(long, requires = "from_crontab", conflicts_with = "system")]
    user: bool,
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
    if let Some(from) = &args.from_crontab {
        let system = (args.system || args.user).then_some(args.system);
        return crontab::run(start, &dir, from.as_deref(), system);
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
    start.printer.data(format_args!("A project is in {}: {}.", folder(&dir), made.join(", ")));
    if !kept.is_empty() {
        start.printer.data(format_args!("Left as they were: {}.", kept.join(", ")));
    }
    next(
        start,
        &dir,
        &[
            "handover run --once     ten sales go through: eight to outgoing/, two to data/errors with the reason",
            "handover status         what each app did",
            "handover run            stay, and take each file that comes into incoming/",
        ],
    );
    Ok(ExitCode::SUCCESS)
}

fn is_here(dir: &Path) -> bool {
    dir == Path::new(".")
}

/// A project's folder in a sentence.
fn folder(dir: &Path) -> String {
    if is_here(dir) { "this folder".to_owned() } else { shown(dir) }
}

/// What to do next, in the project's folder.
fn next(start: &Start, dir: &Path, commands: &[&str]) {
    start.printer.data("\nNext:");
    if !is_here(dir) {
        start.printer.data(format_args!("  cd {}", quoted(&shown(dir))));
    }
    for command in commands {
        start.printer.data(format_args!("  {command}"));
    }
}

/// Writes a file and the folders above it, unless something has its name. Tells whether it was made.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<bool> {
    write_new_with(path, content, Ok)
}

/// The same for its owner's eyes alone.
pub(crate) fn write_new_private(path: &Path, content: &[u8]) -> Result<bool> {
    write_new_with(path, content, AtomicFile::private)
}

fn write_new_with(
    path: &Path,
    content: &[u8],
    prepare: impl FnOnce(AtomicFile) -> Result<AtomicFile>,
) -> Result<bool> {
    if std::fs::symlink_metadata(path).is_ok() {
        return Ok(false);
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_dirs(folder)?;
    }
    let mut file = prepare(AtomicFile::create(path)?)?;
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
