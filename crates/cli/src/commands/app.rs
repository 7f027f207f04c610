//! `handover app NAME …`: a built-in app by itself, as an ordinary console program.
//!
//! Data comes from the file named, or standard input, and goes to `-o`, or standard output; talk goes to standard error.
//! Exit codes: 0 done, 65 the data was refused (`EX_DATAERR`), 2 wrong usage or configuration, 1 failed. A reader
//! that goes away (`| head`) ends it quietly.
//!
//! Invariant: a file named by `-o` is replaced whole or not at all; refused data replace nothing. Standard output cannot
//! be taken back: what was written before the refusal is out, and the exit code says that it is void.

mod args;

pub(crate) use args::AppArgs;

use args::{
    AppCommand, Compression, EnricherArgs, ExporterArgs, ImporterArgs, Streams, Unmatched, ValidatorArgs,
};
use handover_apps::exporter::Content;
use handover_apps::{AppIo, BuiltIn, Exporter, Importer, Outcome, RowApp, built_in, parse_config};
use handover_core::limits::CONFIG_MAX_BYTES;
use handover_core::{Error, Result};
use handover_file::AtomicFile;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

/// The exit code of refused data (sysexits `EX_DATAERR`).
const REFUSED: u8 = 65;

/// The working directory.
const HERE: &str = ".";

/// Runs the app and gives the exit code: 0, or 65 where the data were refused, which has been said by then.
///
/// # Errors
/// Whatever else went wrong; it has not been said yet. [`handover_core::ErrorKind::Config`] is exit code 2, the rest 1.
pub(crate) fn run(args: &AppArgs) -> Result<u8> {
    match &args.app {
        AppCommand::Validator(args) => validator(args),
        AppCommand::Enricher(args) => enricher(args),
        AppCommand::FileExporter(args) => exporter(args),
        AppCommand::FileImporter(args) => importer(args),
        AppCommand::DataTransformer { .. } => built_in("data-transformer").map(|_| 0),
    }
}

fn validator(args: &ValidatorArgs) -> Result<u8> {
    let (mut with, base) = configuration(&args.streams)?;
    if let Some(schema) = &args.schema {
        with.insert("schema".to_owned(), of_command_line(schema, &base)?);
    }
    set(&mut with, "max_error_rate", args.max_error_rate);
    set(&mut with, "examples", args.examples);
    if !with.contains_key("schema") {
        return Err(Error::config("the validator needs a schema")
            .hint("handover app validator --schema s.json in.csv"));
    }
    let app = BuiltIn::Validator.build(&with.into(), &base).map_err(as_config)?;
    let files = Files { rejected: args.rejected.as_deref(), report: args.report.as_deref() };
    run_app(app.as_ref(), &args.streams, &files).map(|(code, _)| code)
}

fn enricher(args: &EnricherArgs) -> Result<u8> {
    let (mut with, base) = configuration(&args.streams)?;
    if !args.lookup.is_empty() {
        let unmatched = match args.unmatched {
            Some(Unmatched::Reject) => "reject",
            Some(Unmatched::Keep) | None => "keep",
        };
        let lookups = args.lookup.chunks_exact(3).map(|words| {
            let from = of_command_line(Path::new(&words[0]), &base)?;
            Ok(json!({ "from": from, "key": pairs(&words[1])?, "take": pairs(&words[2])?, "unmatched": unmatched }))
        });
        with.insert("lookups".to_owned(), lookups.collect::<Result<Vec<Value>>>()?.into());
    }
    if !args.compute.is_empty() {
        with.insert("compute".to_owned(), Value::Object(compute(&args.compute)?));
    }
    let app = BuiltIn::Enricher.build(&with.into(), &base).map_err(as_config)?;
    let files = Files { rejected: args.rejected.as_deref(), report: None };
    run_app(app.as_ref(), &args.streams, &files).map(|(code, _)| code)
}

fn exporter(args: &ExporterArgs) -> Result<u8> {
    let (mut with, _) = configuration(&args.streams)?;
    let compression = args.compression.map(|compression| match compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    });
    set(&mut with, "compression", compression);
    set(&mut with, "level", args.level);
    // By itself it writes where `-o` says.
    with.entry("to").or_insert_with(|| ".".into());
    let app = Exporter::new(&parse_config("file-exporter", &with.into())?)?;
    let (code, outcome) = run_app(&app, &args.streams, &Files::default())?;
    if let (Some(path), Some(content)) = (&args.streams.output, Content::of(&outcome))
        && app.verifies()
        && path.is_file()
    {
        let mut written = File::open(path).map_err(|error| Error::io("read again", path.display(), error))?;
        app.verify_written(&mut written, &content).map_err(|error| error.on(path.display()))?;
    }
    Ok(code)
}

fn importer(args: &ImporterArgs) -> Result<u8> {
    let (with, base) = configuration(&args.streams)?;
    let app = if args.streams.config.is_some() {
        Importer::new(&parse_config("file-importer", &with.into())?, &base)?
    } else {
        Importer::copying()
    };
    run_app(&app, &args.streams, &Files::default()).map(|(code, _)| code)
}

/// What cannot be used as configuration is a wrong command line here, whatever the cause.
fn as_config(error: Error) -> Error {
    error.with_kind(handover_core::ErrorKind::Config)
}

fn set<T: Into<Value>>(with: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        with.insert(key.to_owned(), value.into());
    }
}

/// A path of the command line, which is relative to the working directory, where that is not the configuration's.
fn of_command_line(path: &Path, base: &Path) -> Result<Value> {
    let path = if base == Path::new(HERE) {
        path.to_owned()
    } else {
        std::path::absolute(path).map_err(|error| Error::io("find", path.display(), error))?
    };
    let text = path.to_str().map(Value::from);
    text.ok_or_else(|| Error::config("the path is not UTF-8").on(path.display()))
}

/// `ours:theirs,same` as `{ours: theirs, same: same}`.
fn pairs(text: &str) -> Result<Value> {
    let mut map = Map::new();
    for word in text.split(',') {
        let (ours, theirs) = word.split_once(':').unwrap_or((word, word));
        if ours.is_empty() || theirs.is_empty() || map.insert(ours.to_owned(), theirs.into()).is_some() {
            return Err(Error::config(format!("{text:?} is not columns"))
                .hint("write names with commas between them: name,zone or ours:theirs"));
        }
    }
    Ok(Value::Object(map))
}

fn compute(list: &[String]) -> Result<Map<String, Value>> {
    let mut map = Map::new();
    for text in list {
        let (name, expression) = text.split_once('=').ok_or_else(|| {
            Error::config(format!("--compute {text:?} is not COLUMN=CEL"))
                .hint("such as --compute 'total=double(quantity) * double(price)'")
        })?;
        if map.insert(name.trim().to_owned(), expression.into()).is_some() {
            return Err(Error::config(format!("--compute gives {:?} twice", name.trim())));
        }
    }
    Ok(map)
}

/// The configuration and the folder that its paths are relative to.
fn configuration(streams: &Streams) -> Result<(Map<String, Value>, PathBuf)> {
    let here = PathBuf::from(HERE);
    let Some(config) = streams.config.as_deref() else { return Ok((Map::new(), here)) };
    let config =
        config.to_str().ok_or_else(|| Error::config("the path is not UTF-8").on(config.display()))?;
    let (text, base, shown) = if config.trim_start().starts_with('{') {
        (config.as_bytes().to_vec(), here, "--config")
    } else if config == "-" {
        if reads_stdin(streams) {
            return Err(Error::config("standard input cannot be configuration and data at once")
                .hint("name the input file, or the configuration's"));
        }
        (read_bounded(io::stdin().lock(), "standard input")?, here, "standard input")
    } else {
        let path = Path::new(config);
        let file = File::open(path)
            .map_err(|error| as_config(Error::io("read the configuration", path.display(), error)))?;
        let base = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let base = base.unwrap_or(Path::new(HERE)).to_owned();
        (read_bounded(file, config)?, base, config)
    };
    match serde_json::from_slice(&text) {
        Ok(Value::Object(map)) => Ok((map, base)),
        Ok(_) => Err(Error::config("the configuration is not a JSON object").on(shown)),
        Err(error) => Err(Error::config("the configuration is not JSON").on(shown).because(error)),
    }
}

fn read_bounded(source: impl Read, shown: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = source.take(CONFIG_MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| as_config(Error::io("read the configuration", shown, error)))?;
    if bytes.len() as u64 > CONFIG_MAX_BYTES {
        return Err(
            Error::config(format!("the configuration is larger than {CONFIG_MAX_BYTES} bytes")).on(shown)
        );
    }
    Ok(bytes)
}

fn reads_stdin(streams: &Streams) -> bool {
    streams.input.as_deref().is_none_or(|path| path == Path::new("-"))
}

/// Further files that an app may write.
#[derive(Default)]
struct Files<'a> {
    rejected: Option<&'a Path>,
    report: Option<&'a Path>,
}

/// Standard output that remembers whether its reader has gone.
struct Stdout<W: Write> {
    out: W,
    reader_gone: bool,
}

impl<W: Write> Stdout<W> {
    fn noting<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.reader_gone |= matches!(&result, Err(error) if error.kind() == io::ErrorKind::BrokenPipe);
        result
    }
}

impl<W: Write> Write for Stdout<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.noting(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.noting(result)
    }
}

fn run_app(app: &dyn RowApp, streams: &Streams, files: &Files<'_>) -> Result<(u8, Outcome)> {
    let mut input = open_input(streams)?;
    let mut rejected = files.rejected.map(AtomicFile::create).transpose()?;
    let mut output = streams.output.as_deref().map(AtomicFile::create).transpose()?;
    let mut stdout = Stdout { out: io::stdout().lock(), reader_gone: false };
    let mut nowhere = io::sink();
    let ran = app.run(AppIo {
        input: input.as_mut(),
        output: output.as_mut().map_or(&mut stdout as &mut dyn Write, |file| file),
        rejected: rejected.as_mut().map_or(&mut nowhere as &mut dyn Write, |file| file),
        progress: None,
        cancelled: &|| false,
    });
    let outcome = match ran {
        Err(_) if stdout.reader_gone => return Ok((0, Outcome::default())),
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
    if let (Some(path), Some(report)) = (files.report, &outcome.report) {
        write_report(path, report)?;
    }
    say(app.name(), streams, files, &outcome);
    Ok((if outcome.refuse.is_some() { REFUSED } else { 0 }, outcome))
}

fn open_input(streams: &Streams) -> Result<Box<dyn Read>> {
    match streams.input.as_deref() {
        Some(path) if !reads_stdin(streams) => {
            let file = File::open(path).map_err(|error| Error::io("read", path.display(), error))?;
            if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                return Err(Error::config("the input is a folder, and a file is wanted").on(path.display()));
            }
            Ok(Box::new(file))
        }
        _ => {
            let stdin = io::stdin();
            if stdin.is_terminal() && !streams.quiet {
                let _ = writeln!(io::stderr(), "reading standard input; end it with Ctrl-D");
            }
            Ok(Box::new(stdin.lock()))
        }
    }
}

fn write_report(path: &Path, report: &Value) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    let text = serde_json::to_string_pretty(report).unwrap_or_default();
    writeln!(file, "{text}").map_err(|error| Error::io("write the report", path.display(), error))?;
    file.commit()
}

/// Says what came of it, on standard error.
fn say(app: &str, streams: &Streams, files: &Files<'_>, outcome: &Outcome) {
    let text = if streams.json {
        let summary = json!({
            "app": app,
            "rows_in": outcome.rows_in,
            "rows_out": outcome.rows_out,
            "rows_rejected": outcome.rows_rejected,
            "refused": outcome.refuse.as_ref().map(ToString::to_string),
            "notes": outcome.notes,
        });
        format!("{summary}\n")
    } else {
        summary(app, streams.quiet, files, outcome)
    };
    // Nobody may be listening.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn summary(app: &str, quiet: bool, files: &Files<'_>, outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    let nothing_read = outcome.refuse.is_some() && outcome.rows_in == 0;
    if !quiet && !nothing_read {
        lines.push(format!(
            "{app}: {} in, {} out, {} rejected",
            handover_runtime::operations::times::count(outcome.rows_in, "row"),
            outcome.rows_out,
            outcome.rows_rejected
        ));
        lines.extend(outcome.notes.iter().map(|note| format!("  {note}")));
        if outcome.rows_rejected > 0 && files.rejected.is_none() {
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
    fn columns_and_expressions_of_the_command_line() {
        assert_eq!(pairs("region:code,name").unwrap(), json!({ "region": "code", "name": "name" }));
        for text in ["", "a,,b", "a:", ":b", "a,a"] {
            assert!(pairs(text).is_err(), "{text}");
        }
        let list = ["total = a == b ? 1 : 2".to_owned()];
        assert_eq!(compute(&list).unwrap()["total"], " a == b ? 1 : 2");
        assert!(compute(&["total".to_owned()]).is_err());
        assert!(compute(&["x=1".to_owned(), "x=2".to_owned()]).is_err());
    }

    #[test]
    fn a_refusal_is_said_even_where_nothing_else_is() {
        let outcome = Outcome {
            rows_in: 4,
            rows_out: 3,
            rows_rejected: 1,
            refuse: Some(Error::bad_data("too bad").hint("mend it")),
            notes: vec!["row 2: why".to_owned()],
            ..Outcome::default()
        };
        let files = Files::default();
        assert_eq!(summary("validator", true, &files, &outcome), "validator: refused: too bad\n  mend it\n");
        let text = summary("validator", false, &files, &outcome);
        assert!(text.starts_with("validator: 4 rows in, 3 out, 1 rejected\n  row 2: why\n"), "{text}");
        assert!(text.contains("--rejected FILE"));
    }
}
