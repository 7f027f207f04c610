//! The exporter by itself: one file, several parts, or standard output.
//!
//! Invariant: no file gets its name before all are written; with parts, a file that is there is replaced as `-o` always
//! does, one after the other.

use super::args::{CompressionArg, ExporterArgs, Streams};
use super::files::Files;
use super::given::{configuration, set, set_input, set_out_format, set_output};
use super::running::{ended, options, progress};
use super::streams::{Hashed, Stdout, extension_of, open_input};
use handover_apps::exporter::{ExportFrom, PartFile};
use handover_apps::{Exporter, Outcome, RowApp, parse_config};
use handover_core::{Error, Result};
use handover_file::AtomicFile;
use handover_records::Watch;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Runs the exporter and gives the exit code.
///
/// # Errors
/// As [`super::run`].
pub(super) fn run(args: &ExporterArgs) -> Result<u8> {
    let (mut with, _) = configuration(&args.streams)?;
    set_input(&mut with, &args.formats)?;
    set_out_format(&mut with, args.out_format, args.out_delimiter.as_deref(), &args.streams)?;
    // A level that was asked for without a compression is the exporter's to judge.
    if args.outputs.level.is_none() || args.outputs.compression.is_some() || args.streams.output.is_some() {
        set_output(&mut with, &args.outputs, &args.streams);
    } else {
        set(&mut with, "compression", args.outputs.compression.map(CompressionArg::name));
        set(&mut with, "level", args.outputs.level);
    }
    if args.split_rows.is_some() || args.split_size.is_some() {
        with.insert("split".to_owned(), split(args));
    }
    // By itself it writes where `-o` says.
    with.entry("to").or_insert_with(|| ".".into());
    let app = Exporter::new(&parse_config("file-exporter", &with.into())?)?;
    let files = Files { rejected: args.rejected.as_deref(), ..Files::default() };
    files.check(&args.streams, false, Vec::new())?;
    let mut rejects = match args.rejected.as_deref().filter(|_| !args.streams.dry_run) {
        Some(path) => Some(AtomicFile::create(path)?),
        None => None,
    };
    let mut no_rejects = io::sink();
    let rejected: &mut (dyn Write + Send) = match &mut rejects {
        Some(file) => file,
        None => &mut no_rejects,
    };
    let outcome = match args.streams.output.as_deref() {
        _ if args.streams.dry_run => export(&app, &args.streams, rejected, || Ok(io::sink()))?.0,
        Some(path) => to_files(&app, &args.streams, path, rejected)?,
        None => {
            let Some(outcome) = to_stdout(&app, &args.streams, rejected)? else { return Ok(0) };
            outcome
        }
    };
    if let Some(rejects) = rejects {
        rejects.commit()?;
    }
    ended(app.name(), &args.streams, &files, &outcome)
}

fn split(args: &ExporterArgs) -> Value {
    let mut split = json!({});
    if let Some(rows) = args.split_rows {
        split["rows"] = rows.into();
    }
    if let Some(size) = &args.split_size {
        split["size"] = size.as_str().into();
    }
    split
}

fn export<W: Write + Send>(
    app: &Exporter,
    streams: &Streams,
    rejected: &mut (dyn Write + Send),
    mut open: impl FnMut() -> Result<W> + Send,
) -> Result<(Outcome, Vec<PartFile<W>>)> {
    let mut input = open_input(streams)?;
    let input_ext = streams.input.as_deref().map(extension_of).unwrap_or_default();
    let bar = progress(streams, input.size);
    let read = |bytes: u64| bar.set_position(bytes);
    let from = ExportFrom {
        input: input.bytes.as_mut(),
        input_ext: &input_ext,
        watch: Watch { progress: (!bar.is_hidden()).then_some(&read), cancelled: None },
        options: options(streams),
        known: None,
        hash_content: false,
    };
    let ran = app.export(from, rejected, &mut |_| open());
    bar.finish_and_clear();
    ran
}

fn to_stdout(
    app: &Exporter,
    streams: &Streams,
    rejected: &mut (dyn Write + Send),
) -> Result<Option<Outcome>> {
    if app.splits() {
        return Err(Error::config("split: standard output cannot be split into several files")
            .hint("say where they go: -o 'out-{part}.csv'"));
    }
    let gone = std::sync::atomic::AtomicBool::new(false);
    let open = || Ok(Stdout { out: io::stdout(), reader_gone: &gone });
    match export(app, streams, rejected, open) {
        Err(_) if gone.load(std::sync::atomic::Ordering::Relaxed) => Ok(None),
        ran => ran.map(|(outcome, _)| Some(outcome)),
    }
}

fn to_files(
    app: &Exporter,
    streams: &Streams,
    path: &Path,
    rejected: &mut (dyn Write + Send),
) -> Result<Outcome> {
    let mut paths = Vec::new();
    let open = || {
        let path = if app.splits() { part_path(path, paths.len() + 1)? } else { path.to_owned() };
        let file = Hashed::create(&path)?;
        paths.push(path);
        Ok(file)
    };
    let (outcome, files) = export(app, streams, rejected, open)?;
    if outcome.refuse.is_none() {
        for (file, path) in files.into_iter().zip(&paths) {
            file.out.commit(path, app.verifies())?;
        }
    }
    Ok(outcome)
}

/// The path of a part: its number for `{part}`, or before the extension.
fn part_path(path: &Path, part: usize) -> Result<PathBuf> {
    let name = path.file_name().and_then(std::ffi::OsStr::to_str);
    let name = name.ok_or_else(|| Error::config("the path is not UTF-8").on(path.display()))?;
    let number = format!("{part:03}");
    let named = if name.contains("{part}") {
        name.replace("{part}", &number)
    } else {
        let ext = extension_of(path);
        match name.strip_suffix(&format!(".{ext}")).filter(|_| !ext.is_empty()) {
            Some(stem) => format!("{stem}-{number}.{ext}"),
            None => format!("{name}-{number}"),
        }
    };
    Ok(path.with_file_name(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbered() {
        for (path, named) in
            [("a/out.csv.gz", "a/out-002.csv.gz"), ("a/{part}-x.csv", "a/002-x.csv"), ("out", "out-002")]
        {
            assert_eq!(part_path(Path::new(path), 2).unwrap(), Path::new(named));
        }
    }
}
