//! The run of a stand-alone app, and what is said of it.

use super::args::Streams;
use super::files::Files;
use super::streams::{Stdout, extension_of, open_input};
use handover_apps::validator::report_text;
use handover_apps::{AppIo, Outcome, RowApp, RunOptions};
use handover_core::{Error, Result};
use handover_file::AtomicFile;
use handover_file::scratch::scratch_in;
use handover_runtime::operations::times::{count, number};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of refused data (sysexits `EX_DATAERR`).
const REFUSED: u8 = 65;

/// Runs an app with one output, says what came of it, and gives the exit code.
///
/// # Errors
/// What the app gives, and where a file cannot be read or written.
pub(super) fn run_app(app: &dyn RowApp, streams: &Streams, files: &Files<'_>) -> Result<u8> {
    let mut input = open_input(streams)?;
    let wanted = |path: &&Path| !streams.dry_run && !path.as_os_str().is_empty();
    let mut rejected = files.rejected.filter(wanted).map(AtomicFile::create).transpose()?;
    let mut output = streams.output.as_deref().filter(wanted).map(AtomicFile::create).transpose()?;
    let gone = AtomicBool::new(false);
    let mut stdout = Stdout { out: io::stdout(), reader_gone: &gone };
    let (mut nowhere, mut no_rejects) = (io::sink(), io::sink());
    let input_ext = streams.input.as_deref().map(extension_of).unwrap_or_default();
    let bar = progress(streams, input.size);
    let read = |bytes: u64| bar.set_position(bytes);
    let out: &mut (dyn Write + Send) = match &mut output {
        Some(file) => file,
        None if streams.dry_run => &mut nowhere,
        None => &mut stdout,
    };
    let ran = app.run(AppIo {
        input: input.bytes.as_mut(),
        input_ext: &input_ext,
        output: out,
        rejected: rejected.as_mut().map_or(&mut no_rejects as &mut (dyn Write + Send), |file| file),
        progress: (!bar.is_hidden()).then_some(&read),
        cancelled: &|| false,
        options: options(streams),
        scratch: &|| scratch_in(&std::env::temp_dir()),
    });
    bar.finish_and_clear();
    let outcome = match ran {
        Err(_) if gone.load(Ordering::Relaxed) => return Ok(0),
        ran => ran?,
    };
    if outcome.refuse.is_none()
        && let Some(output) = output
    {
        output.commit()?;
    }
    if let Some(rejected) = rejected {
        rejected.commit()?;
    }
    ended(app.name(), streams, files, &outcome)
}

/// How much of a run is wanted.
pub(super) fn options(streams: &Streams) -> RunOptions {
    RunOptions { dry_run: streams.dry_run, limit: streams.limit }
}

/// A bar on a terminal where a person watches; hidden elsewhere.
pub(super) fn progress(streams: &Streams, size: Option<u64>) -> ProgressBar {
    let to_terminal = streams.output.is_none() && io::stdout().is_terminal() && !streams.dry_run;
    if streams.quiet || streams.json || to_terminal || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = match size {
        Some(_) => "  [{bar:20}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        None => "  {spinner} {bytes} {bytes_per_sec}",
    };
    // A template of ours is right, or the plain style does.
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr_with_hz(12)).with_style(style)
}

/// Writes the report, says what came of it, and gives the exit code.
///
/// # Errors
/// Where the report cannot be written.
pub(super) fn ended(app: &str, streams: &Streams, files: &Files<'_>, outcome: &Outcome) -> Result<u8> {
    if let Some(report) = &outcome.report {
        let text = report_in(report, files.report_as_text);
        if let Some(path) = files.report.filter(|_| !streams.dry_run) {
            write_text(path, &text)?;
        } else if files.says_report {
            // Nobody may be listening.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    }
    say(app, streams, files, outcome);
    Ok(if outcome.refuse.is_some() { REFUSED } else { 0 })
}

fn report_in(report: &Value, as_text: bool) -> String {
    if as_text {
        return report_text(report);
    }
    serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
}

/// Writes a text to a file, whole or not at all.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn write_text(path: &Path, text: &str) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(text.as_bytes()).map_err(|error| Error::io("write", path.display(), error))?;
    file.commit()
}

/// Says what came of it, on standard error.
fn say(app: &str, streams: &Streams, files: &Files<'_>, outcome: &Outcome) {
    let text = if streams.json {
        let summary = json!({
            "app": app,
            "dry_run": streams.dry_run,
            "rows_in": outcome.rows_in,
            "rows_out": outcome.rows_out,
            "rows_rejected": outcome.rows_rejected,
            "rows_filtered": outcome.rows_filtered,
            "refused": outcome.refuse.as_ref().map(ToString::to_string),
            "notes": outcome.notes,
        });
        format!("{summary}\n")
    } else {
        summary(app, streams, files, outcome)
    };
    // Nobody may be listening.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn summary(app: &str, streams: &Streams, files: &Files<'_>, outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    let nothing_read = outcome.refuse.is_some() && outcome.rows_in == 0;
    if !streams.quiet && !nothing_read {
        let mut counts = format!(
            "{app}: {} in, {} out, {} rejected",
            count(outcome.rows_in, "row"),
            number(outcome.rows_out),
            number(outcome.rows_rejected)
        );
        if outcome.rows_filtered > 0 {
            counts.push_str(&format!(", {} filtered", number(outcome.rows_filtered)));
        }
        lines.push(counts);
        lines.extend(outcome.notes.iter().map(|note| format!("  {note}")));
        if streams.dry_run {
            lines.push("  a dry run: nothing was written".to_owned());
        } else if outcome.rows_rejected > 0 && files.rejected.is_none() {
            lines.push(
                "  the rejected rows were not kept: --rejected FILE keeps them with their reasons".to_owned(),
            );
        }
    }
    if let Some(error) = &outcome.refuse {
        lines.push(format!("{app}: refused: {error}"));
        lines.extend(error.hint_text().map(|hint| format!("  {hint}")));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_said_even_where_nothing_else_is() {
        let outcome = Outcome {
            rows_in: 5,
            rows_out: 3,
            rows_rejected: 1,
            rows_filtered: 1,
            refuse: Some(Error::bad_data("too bad").hint("mend it")),
            notes: vec!["row 2: why".to_owned()],
            ..Outcome::default()
        };
        let (files, mut streams) = (Files::default(), Streams { quiet: true, ..Streams::default() });
        assert_eq!(
            summary("validator", &streams, &files, &outcome),
            "validator: refused: too bad\n  mend it\n"
        );
        streams.quiet = false;
        let text = summary("validator", &streams, &files, &outcome);
        assert!(
            text.starts_with("validator: 5 rows in, 3 out, 1 rejected, 1 filtered\n  row 2: why\n"),
            "{text}"
        );
        assert!(text.contains("--rejected FILE"));
        streams.dry_run = true;
        assert!(summary("validator", &streams, &files, &outcome).contains("nothing was written"));
    }
}
