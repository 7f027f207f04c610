//! `handover app NAME …`: a built-in app by itself, as an ordinary console program.
//!
//! Data comes from the file named, or standard input, and goes to `-o`, or standard output; talk goes to standard error.
//! Exit codes: 0 done, 65 the data was refused (`EX_DATAERR`), 2 wrong usage or configuration, 1 failed. A reader
//! that goes away (`| head`) ends it quietly.
//!
//! [`args`] the command line · [`given`] it and `--config` as one configuration · [`streams`] input and output ·
//! [`files`] no two of them one file · [`running`] the run, and what is said of it · [`export`] the exporter's files.
//!
//! Invariant: a file named by `-o` is replaced whole or not at all; refused data replace nothing, and a dry run nothing
//! at all. Standard output cannot be taken back: what was written before the refusal is out, and the exit code says that
//! it is void.

mod args;
mod export;
mod files;
mod given;
mod running;
mod streams;

pub(crate) use args::AppArgs;

use args::{
    AppCommand, EnricherArgs, ImporterArgs, ReportForm, Streams, TransformerArgs, Unmatched, ValidatorArgs,
};
use files::Files;
use given::{
    compute, configuration, object, of_command_line, of_streams, pairs, set, set_input, set_out_format,
    set_output,
};
use handover_apps::{BuiltIn, Importer, InputConfig, RowApp, parse_config, validator};
use handover_core::{Error, Result};
use running::{run_app, write_text};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use streams::{extension_of, open_input};

/// Runs the app and gives the exit code: 0, or 65 where the data were refused, which has been said by then.
///
/// # Errors
/// Whatever else went wrong; it has not been said yet. [`handover_core::ErrorKind::Config`] is exit code 2, the rest 1.
pub(crate) fn run(args: &AppArgs) -> Result<u8> {
    match &args.app {
        AppCommand::Validator(args) if args.infer => infer(args),
        AppCommand::Validator(args) => validator(args),
        AppCommand::DataTransformer(args) => transformer(args),
        AppCommand::Enricher(args) => enricher(args),
        AppCommand::FileExporter(args) => export::run(args),
        AppCommand::FileImporter(args) => importer(args),
    }
}

/// The configuration with what the command line says of input and output.
fn with_streams(
    streams: &Streams,
    formats: &args::Formats,
    outputs: &args::Outputs,
) -> Result<(Map<String, Value>, PathBuf)> {
    let (mut with, base) = configuration(streams)?;
    set_input(&mut with, formats)?;
    let mut output = object(with.get("output"), "output")?;
    set_output(&mut output, outputs, streams);
    with.insert("output".to_owned(), output.into());
    Ok((with, base))
}

fn build(app: BuiltIn, with: Map<String, Value>, base: &Path, streams: &Streams) -> Result<Box<dyn RowApp>> {
    app.build(&with.into(), base).map_err(|error| of_streams(error, streams))
}

fn validator(args: &ValidatorArgs) -> Result<u8> {
    let (mut with, base) = with_streams(&args.streams, &args.formats, &args.outputs)?;
    if let Some(schema) = &args.schema {
        with.insert("schema".to_owned(), of_command_line(schema, &base)?);
    }
    set(&mut with, "max_error_rate", args.max_error_rate);
    set(&mut with, "examples", args.examples);
    if !with.contains_key("schema") {
        return Err(Error::config("the validator needs a schema")
            .hint("handover app validator --schema s.json in.csv; --infer writes a first one"));
    }
    let files = Files {
        rejected: args.rejected.as_deref(),
        report: args.report.as_deref(),
        report_as_text: args.format == Some(ReportForm::Text),
        says_report: args.format.is_some() && args.report.is_none(),
    };
    let schema = with.get("schema").and_then(Value::as_str).map(|path| ("the schema", base.join(path)));
    files.check(&args.streams, true, schema.into_iter().collect())?;
    let app = build(BuiltIn::Validator, with, &base, &args.streams)?;
    run_app(app.as_ref(), &args.streams, &files)
}

/// Writes a first schema.
fn infer(args: &ValidatorArgs) -> Result<u8> {
    let (with, _) = with_streams(&args.streams, &args.formats, &args.outputs)?;
    let input: InputConfig =
        parse_config("validator", with.get("input").unwrap_or(&Value::Object(Map::new())))?;
    Files::default().check(&args.streams, false, Vec::new())?;
    let ext = args.streams.input.as_deref().map(extension_of).unwrap_or_default();
    let schema = validator::infer(&mut open_input(&args.streams)?.bytes, &ext, &input)?;
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n";
    match args.streams.output.as_deref().filter(|_| !args.streams.dry_run) {
        Some(path) => write_text(path, &text)?,
        None => match io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(Error::io("write", "standard output", error));
            }
            _ => {}
        },
    }
    Ok(0)
}

fn transformer(args: &TransformerArgs) -> Result<u8> {
    let (mut with, base) = with_streams(&args.streams, &args.formats, &args.outputs)?;
    let mut output = object(with.get("output"), "output")?;
    set_out_format(&mut output, args.out_format, args.out_delimiter.as_deref(), &args.streams)?;
    with.insert("output".to_owned(), output.into());
    if let Some(mapping) = &args.mapping {
        with.insert("mapping".to_owned(), of_command_line(mapping, &base)?);
    }
    if !args.select.is_empty() {
        with.insert("select".to_owned(), args.select.clone().into());
    }
    if !args.rename.is_empty() {
        with.insert("rename".to_owned(), Value::Object(compute("--rename", "OLD=NEW", &args.rename)?));
    }
    set(&mut with, "filter", args.filter.clone());
    if !args.compute.is_empty() {
        with.insert("compute".to_owned(), Value::Object(compute("--compute", "FIELD=CEL", &args.compute)?));
    }
    let files = Files { rejected: args.rejected.as_deref(), ..Files::default() };
    let mapping = with.get("mapping").and_then(Value::as_str).map(|path| ("the mapping", base.join(path)));
    files.check(&args.streams, true, mapping.into_iter().collect())?;
    let app = build(BuiltIn::Transformer, with, &base, &args.streams)?;
    run_app(app.as_ref(), &args.streams, &files)
}

fn enricher(args: &EnricherArgs) -> Result<u8> {
    let (mut with, base) = with_streams(&args.streams, &args.formats, &args.outputs)?;
    if !args.lookup.is_empty() {
        let lookups = args.lookup.chunks_exact(3).map(|words| {
            let from = of_command_line(Path::new(&words[0]), &base)?;
            let mut lookup = json!({ "from": from, "key": pairs(&words[1])?, "take": pairs(&words[2])? });
            if let Some(unmatched) = args.unmatched.map(Unmatched::name) {
                lookup["unmatched"] = unmatched.into();
            }
            Ok(lookup)
        });
        with.insert("lookups".to_owned(), lookups.collect::<Result<Vec<Value>>>()?.into());
    }
    if !args.compute.is_empty() {
        with.insert("compute".to_owned(), Value::Object(compute("--compute", "COLUMN=CEL", &args.compute)?));
    }
    let files = Files { rejected: args.rejected.as_deref(), ..Files::default() };
    let lookups = with.get("lookups").and_then(Value::as_array).into_iter().flatten();
    let from = lookups.filter_map(|lookup| lookup.get("from")?.as_str());
    let references = from.map(|path| ("a reference file", base.join(path))).collect();
    files.check(&args.streams, true, references)?;
    let app = build(BuiltIn::Enricher, with, &base, &args.streams)?;
    run_app(app.as_ref(), &args.streams, &files)
}

fn importer(args: &ImporterArgs) -> Result<u8> {
    let (mut with, base) = configuration(&args.streams)?;
    set_input(&mut with, &args.formats)?;
    let app = if args.streams.config.is_some() {
        Importer::new(&parse_config("file-importer", &with.into())?, &base)?
    } else {
        let input = with.get("input").cloned().unwrap_or(Value::Object(Map::new()));
        Importer::copying(parse_config("file-importer", &input)?)?
    };
    Files::default().check(&args.streams, false, Vec::new())?;
    run_app(&app, &args.streams, &Files::default())
}
