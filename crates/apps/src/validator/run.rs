//! One run of a validator over one input: opening it, its header, the streams, and what came of it.
//!
//! Invariants:
//! - Nothing is written before the header has been found to go with the schema.
//! - A table that refers to itself is read twice, the second time from a copy ([`super::references`]).

use super::judge::Judge;
use super::keys::{KeySet, Keys};
use super::labels::{Layout, layout};
use super::record_run::{By, RecordRun};
use super::references;
use super::report::{Found, Report};
use super::rules::Rules;
use super::schema::Schema;
use super::table_run::{Counts, Judging, TableRun};
use super::{Judged, Validator};
use crate::app::{AppIo, Outcome, RunOptions};
use crate::expression::Over;
use crate::pipeline;
use crate::reject::Rejects;
use crate::table::{Header, read_header};
use handover_core::{Error, Result};
use handover_records::json::Shape;
use handover_records::{
    Compression, Dialect, Format, InputOptions, Records, Sink, Watch, csv, json, open_input, write_error,
};
use serde_json::{Map, Value, json};
use std::io::{Read, Write};
use std::sync::Arc;

/// What a run writes to, and how much of it is wanted.
struct Out<'a> {
    output: &'a mut (dyn Write + Send),
    rejected: &'a mut (dyn Write + Send),
    compression: Compression,
    level: Option<i32>,
    limit: u64,
}

/// Runs once over one input.
///
/// # Errors
/// Where the input cannot be read or an output not be written, or the work was cancelled.
pub(super) fn run(validator: &Validator, io: AppIo<'_>) -> Result<Outcome> {
    let watch = io.watch();
    let AppIo { input, input_ext, output, rejected, options: RunOptions { dry_run, limit }, .. } = io;
    let mut options = validator.input.options(input_ext, watch);
    let compression = match validator.output.kind(&validator.input.kind(input_ext)).compression {
        _ if dry_run => Compression::None,
        compression => compression,
    };
    let level = validator.output.level.filter(|_| compression != Compression::None);
    let out = Out { output, rejected, compression, level, limit: limit.unwrap_or(u64::MAX) };
    match &validator.judged {
        Judged::Table(schema) if validator.references.to_itself() => {
            let mut copied = references::copy(schema, input, &options, io.scratch)?;
            options.watch = Watch { progress: None, ..watch };
            over(validator, &mut copied.copy, &options, &copied.keys, out)
        }
        _ => over(validator, input, &options, &[], out),
    }
}

fn over<R: Read + Send>(
    validator: &Validator,
    input: R,
    options: &InputOptions<'_>,
    own_keys: &[Arc<KeySet>],
    out: Out<'_>,
) -> Result<Outcome> {
    let opened = open_input(input, options)?;
    match (opened.records, &validator.judged) {
        (Records::Rows(reader), Judged::Table(schema)) => {
            let keys = validator.references.key_sets(schema, own_keys)?;
            let keys = Keys::new(schema, keys, &validator.whole.unique);
            table(validator, schema, reader, &opened.dialect, keys, out)
        }
        (Records::Rows(_), Judged::Json(_)) => {
            Err(Error::config("the schema is a JSON Schema, and the input a table").on(&validator.shown).hint(
                "a table needs a Table Schema ({\"fields\": …}); for JSON records say `input: { format: ndjson }`",
            ))
        }
        (Records::Json(reader), Judged::Json(schema)) => {
            records(validator, By::Json(schema), &validator.rules, reader, options.format, out)
        }
        (Records::Json(reader), Judged::Table(schema)) => {
            let keys = validator.references.key_sets(schema, own_keys)?;
            let keys = Keys::new(schema, keys, &validator.whole.unique);
            let rules = Rules::new(&validator.rules_written, Over::Records)?;
            records(validator, By::Table(schema, Box::new(keys)), &rules, reader, options.format, out)
        }
    }
}

fn table<R: Read + Send>(
    validator: &Validator,
    schema: &Schema,
    mut reader: csv::Reader<R>,
    dialect: &Dialect,
    keys: Keys<'_>,
    out: Out<'_>,
) -> Result<Outcome> {
    let mut header = match read_header(&mut reader, dialect)? {
        Ok(header) => header,
        Err(error) => return Ok(refused(validator, &[], error)),
    };
    let fields = validator.names.len();
    let layout = if header.is_written {
        match layout(&header.names, schema) {
            Ok(layout) => layout,
            Err(found) => return Ok(refused(validator, &found, wrong_header(&found))),
        }
    } else {
        header.names.clone_from(&validator.names);
        Layout::in_order(fields)
    };
    let rules = match validator.rules.bind(&header.names) {
        Ok(rules) => rules,
        Err(error) => {
            let why = Error::bad_data(format!("the header does not go with the rules: {error}"));
            return Ok(refused(validator, &[], why));
        }
    };
    let judge = &Judge::new(schema, layout, dialect);
    let mut run = TableRun {
        schema,
        judge,
        keys,
        rules,
        whole: validator.whole.start(),
        rejects: Rejects::of_table(&header, dialect),
        report: validator.new_report(),
        limit: out.limit,
        counts: Counts { rows_in: 0, rows_out: 0, refuse: None },
        found: Vec::new(),
    };
    let mut sink = Sink::new(out.output, out.compression, out.level)?;
    write_header(&header, &mut sink)?;
    pipeline::run(Judging { reader, judge }, &mut sink, out.rejected, &mut run)?;
    sink.finish()?;
    let whole = run.whole.finish();
    Ok(ended(validator, run.counts, &run.rejects, run.report, whole))
}

fn write_header(header: &Header, out: &mut dyn Write) -> Result<()> {
    let mut bytes = Vec::new();
    header.push(&mut bytes);
    out.write_all(&bytes).map_err(write_error)
}

fn records<R: Read + Send>(
    validator: &Validator,
    by: By<'_>,
    rules: &Rules,
    reader: json::Reader<R>,
    format: Format,
    out: Out<'_>,
) -> Result<Outcome> {
    let mut run = RecordRun {
        by,
        rules,
        whole: validator.whole.start(),
        rejects: Rejects::of_records(),
        report: validator.new_report(),
        limit: out.limit,
        counts: Counts { rows_in: 0, rows_out: 0, refuse: None },
        shape: if format == Format::Json { Shape::Array } else { Shape::Lines },
        found: Vec::new(),
    };
    let mut sink = Sink::new(out.output, out.compression, out.level)?;
    pipeline::run(reader, &mut sink, out.rejected, &mut run)?;
    sink.finish()?;
    let whole = run.whole.finish();
    Ok(ended(validator, run.counts, &run.rejects, run.report, whole))
}

/// The outcome of a run that came to the end of its input, or as far as was wanted.
fn ended(
    validator: &Validator,
    counts: Counts,
    rejects: &Rejects,
    report: Report,
    (table, of_table): (Map<String, Value>, Option<Error>),
) -> Outcome {
    let mut outcome = Outcome {
        rows_in: counts.rows_in,
        rows_out: counts.rows_out,
        rows_rejected: rejects.count(),
        refuse: counts.refuse,
        notes: rejects.notes(),
        ..Outcome::default()
    };
    if outcome.refuse.is_none() {
        outcome.refuse = validator.too_many_errors(&outcome).or(of_table);
    }
    if report.warnings() > 0 {
        outcome.notes.push(format!("{} warnings; the report counts them by rule", report.warnings()));
    }
    outcome.manifest.insert(
        "schema".to_owned(),
        json!({ "path": validator.shown, "checksum": validator.checksum.to_string() }),
    );
    outcome.report = Some(validator.report(report, table, &outcome));
    outcome
}

/// The outcome of a file of which no row was read.
fn refused(validator: &Validator, found: &[Found], error: Error) -> Outcome {
    let mut report = validator.new_report();
    report.add(1, found);
    let mut outcome = Outcome::refused(error);
    outcome.report = Some(validator.report(report, Map::new(), &outcome));
    outcome
}

fn wrong_header(found: &[Found]) -> Error {
    let Some(first) = found.first() else { return Error::bad_data("the header does not match the schema") };
    let more = match found.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let (code, message) = (first.code.as_str(), &first.message);
    Error::bad_data(format!("the header does not match the schema: {code}: {message}{more}"))
        .hint("mend the header or the schema; the report lists every difference")
}
