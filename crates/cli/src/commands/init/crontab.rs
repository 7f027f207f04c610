//! `handover init --from-crontab`: the crontab is read and a handover.yaml proposed.
//!
//! The crontab is only read. What is written may hold what only the crontab's owner could read, so it is for the user's own
//! eyes; it is made whole or not at all.

use super::{folder, next, write_new, write_new_private};
use crate::commands::{Start, shown};
use crate::printer::{Outcome, Printer};
use crate::table::{Column, Table};
use handover_core::{Error, Result};
use handover_runtime::config::FILE_NAME;
use handover_runtime::operations::crontab::{CRONTAB_MAX_BYTES, Proposal, Reading, propose};
use handover_runtime::operations::times::count;
use jiff::tz::TimeZone;
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Reads the crontab and writes what it proposes.
pub(super) fn run(start: &Start, dir: &Path, from: Option<&Path>, system: Option<bool>) -> Outcome {
    let crontab = match from {
        None => of_this_user()?,
        Some(path) if path == Path::new("-") => whole(std::io::stdin().lock(), "standard input")?,
        Some(path) => {
            let file = std::fs::File::open(path).map_err(|e| Error::io("read", shown(path), e))?;
            whole(file, &shown(path))?
        }
    };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let knows_user = |name: &str| {
        name == "root" || users.lines().any(|line| line.split(':').next().is_some_and(|user| user == name))
    };
    // `crontab -l` prints a user's own crontab, whatever it looks like.
    let system = system.or(from.is_none().then_some(false));
    let zone = TimeZone::system();
    let reading = Reading { system, timezone: zone.iana_name().unwrap_or("UTC"), knows_user: &knows_user };
    let proposal = propose(&crontab, &reading)?;
    let Some(yaml) = &proposal.yaml else { return nothing(start.printer, dir, &proposal) };
    let file = dir.join(FILE_NAME);
    if !write_new_private(&file, yaml.as_bytes())? {
        return Err(Error::config("another process has just made it: nothing was changed")
            .on(shown(&file))
            .into());
    }
    write_new(&dir.join(".gitignore"), b"/data/\n")?;
    if start.printer.is_json() {
        start.printer.json(&said(dir, &proposal));
    } else {
        say(start, dir, &proposal);
    }
    Ok(ExitCode::SUCCESS)
}

fn said(dir: &Path, proposal: &Proposal) -> serde_json::Value {
    let made = if proposal.yaml.is_some() { vec![FILE_NAME] } else { Vec::new() };
    serde_json::json!({
        "folder": dir, "made": made, "system": proposal.system, "apps": proposal.apps, "left": proposal.left,
        "notes": proposal.notes,
    })
}

/// What `crontab -l` prints.
fn of_this_user() -> Result<Vec<u8>> {
    let spawned = Command::new("crontab")
        .arg("-l")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|e| {
        Error::io("run", "crontab -l", e)
            .hint("is cron there? A crontab in a file is read by `handover init --from-crontab FILE`")
    })?;
    let text = child.stdout.take().map_or_else(|| Ok(Vec::new()), |stdout| whole(stdout, "crontab -l"));
    let ended = child.wait_with_output().map_err(|e| Error::io("wait for", "crontab -l", e))?;
    if ended.status.success() {
        return text;
    }
    let stderr = String::from_utf8_lossy(&ended.stderr);
    let stderr: String = stderr.chars().filter(|c| !c.is_control()).take(300).collect();
    Err(if stderr.contains("no crontab") {
        Error::not_found("this user has no crontab: there is nothing to take over")
            .hint("`handover init --from-crontab FILE` reads another, such as /etc/crontab; `handover init` makes an example")
    } else {
        Error::new(handover_core::ErrorKind::Program, format!("`crontab -l` failed: {stderr}"))
            .hint("`handover init --from-crontab FILE` reads a crontab in a file")
    })
}

/// All that a reader has, up to the limit.
fn whole(reader: impl Read, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(CRONTAB_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", name, e))?;
    if bytes.len() as u64 > CRONTAB_MAX_BYTES {
        let most = CRONTAB_MAX_BYTES / (1024 * 1024);
        return Err(Error::config(format!("it is larger than {most} MiB, which is no crontab")).on(name));
    }
    Ok(bytes)
}

fn nothing(printer: Printer, dir: &Path, proposal: &Proposal) -> Outcome {
    if printer.is_json() {
        printer.json(&said(dir, proposal));
        return Ok(ExitCode::FAILURE);
    }
    not_taken(printer, proposal);
    Err(Error::not_found("there is no job in the crontab that can be taken over: nothing was written")
        .hint("`handover init` makes an example to begin from")
        .into())
}

fn say(start: &Start, dir: &Path, proposal: &Proposal) {
    let printer = start.printer;
    let jobs = count(proposal.apps.len() as u64, "job");
    let kind = if proposal.system { " (a system crontab: each job names its user)" } else { "" };
    printer.data(format_args!(
        "A {FILE_NAME} is proposed in {}, with {jobs} of the crontab{kind}:\n",
        folder(dir)
    ));
    let mut table = Table::new(&[
        Column::right("line"),
        Column::left("app"),
        Column::left("schedule"),
        Column::right("to look at"),
    ])
    .indent(2);
    for app in &proposal.apps {
        let notes = if app.notes.is_empty() { "-".to_owned() } else { app.notes.len().to_string() };
        table.row([app.line.to_string(), app.name.clone(), app.schedule.clone(), notes]);
    }
    printer.data(table);
    for note in &proposal.notes {
        printer.data(format_args!("\nnote: {note}"));
    }
    not_taken(printer, proposal);
    printer.data(format_args!(
        "\nThe crontab is as it was. When `handover run` does the work, comment out {} of it (`crontab -e`), or the jobs run \
         twice.",
        lines(proposal)
    ));
    next(
        start,
        dir,
        &[
            "less handover.yaml         look through what was guessed: it says \"look:\" there",
            "handover check             whether the configuration is right and the programs are there",
            "handover run               run the jobs by the clock",
            "handover service install   and let systemd see to that",
        ],
    );
}

fn not_taken(printer: Printer, proposal: &Proposal) {
    if proposal.left.is_empty() {
        return;
    }
    printer.data("\nNot taken over:");
    for left in &proposal.left {
        printer.data(format_args!("  line {}: {}\n    because {}", left.line, left.text, left.reason));
    }
}

/// The lines that were taken over: `lines 3, 5 to 7`.
fn lines(proposal: &Proposal) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for app in &proposal.apps {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == app.line => *last = app.line,
            _ => ranges.push((app.line, app.line)),
        }
    }
    let word = if proposal.apps.len() == 1 { "line" } else { "lines" };
    let ranges: Vec<String> = ranges
        .iter()
        .map(|(from, to)| if from == to { from.to_string() } else { format!("{from} to {to}") })
        .collect();
    format!("{word} {}", ranges.join(", "))
}
