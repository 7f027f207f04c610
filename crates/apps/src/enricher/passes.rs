//! A run: one pass over the input, or two where something is added up first.
//!
//! Invariant: both passes see the same bytes, and the same records where a limit is set. On a crash nothing is lost: the
//! output is void.

use super::Enricher;
use super::aggregate::Groups;
use super::content::{Content, Form, push_key};
use super::join::{Join, Ready};
use super::plan::Plan;
use super::records::{self, Records};
use super::rows::{Counts, Rows};
use super::spool::Spool;
use crate::app::{AppIo, Outcome, RunOptions};
use crate::pipeline;
use crate::reject::Rejects;
use crate::table::read_header;
use handover_core::Result;
use handover_records::json::Shape;
use handover_records::{
    Compression, FileKind, Format, Input, InputOptions, OutputOptions, Records as Reading, Sink, Watch, csv,
    json, open_input,
};
use serde_json::Value;
use std::io::{Read, Write};

/// What one run writes to, and how.
struct Out<'a> {
    output: &'a mut (dyn Write + Send),
    rejected: &'a mut (dyn Write + Send),
    options: RunOptions,
}

pub(super) fn run(app: &Enricher, io: AppIo<'_>) -> Result<Outcome> {
    let watch = io.watch();
    let options = app.input.options(io.input_ext, watch);
    let out = Out { output: io.output, rejected: io.rejected, options: io.options };
    if app.joins.iter().all(|join| join.totals().is_none()) {
        return pass(app, io.input, &options, Vec::new(), out);
    }
    let mut spool = Spool::new(io.input, io.scratch);
    let totals = match add_up(app, &mut spool, &options, io.options.limit)? {
        Ok(totals) => totals,
        Err(refused) => return Ok(Outcome::refused(refused)),
    };
    let again = InputOptions { watch: Watch { progress: None, cancelled: watch.cancelled }, ..options };
    pass(app, spool.again()?, &again, totals, out)
}

/// The pass that writes.
fn pass<R: Read + Send>(
    app: &Enricher,
    input: R,
    options: &InputOptions<'_>,
    totals: Vec<Content>,
    out: Out<'_>,
) -> Result<Outcome> {
    let opened = open_input(input, options)?;
    let kind =
        FileKind { format: options.format, compression: opened.compression, dialect: opened.dialect.clone() };
    let written = app.output.options(&kind);
    match opened.records {
        Reading::Rows(reader) => table(app, reader, &written, totals, out),
        Reading::Json(reader) => {
            let joins = ready(app, &Form::Records, totals)?;
            let shape = if options.format == Format::Json { Shape::Array } else { Shape::Lines };
            let counts = Counts::new(out.options.limit);
            let mut work = Records::new(joins, &app.computed_of_records, shape, counts);
            write(reader, &written, out, &mut work)?;
            let notes = notes(&work.rejects, work.joins());
            let manifest = references(work.joins());
            finish(work.counts, work.rejects.count(), notes, manifest)
        }
    }
}

/// Enriches a table.
fn table<R: Read + Send>(
    app: &Enricher,
    mut reader: csv::Reader<R>,
    written: &OutputOptions,
    totals: Vec<Content>,
    out: Out<'_>,
) -> Result<Outcome> {
    let dialect = &written.dialect;
    let header = match read_header(&mut reader, dialect)? {
        Ok(header) => header,
        Err(refused) => return Ok(Outcome::refused(refused)),
    };
    let plan = match Plan::new(app, &header) {
        Ok(plan) => plan,
        Err(refused) => return Ok(Outcome::refused(refused)),
    };
    let joins = ready(app, &Form::Table(dialect.clone()), totals)?;
    let names = app.computed.iter().map(|(name, _)| name.as_str()).collect();
    let rejects = Rejects::of_table(&header, dialect);
    let counts = Counts::new(out.options.limit);
    let work = Rows::new(&plan, joins, names, rejects, counts, dialect);
    let mut first = header.before.clone();
    if header.is_written {
        work.push_header(&header.content, app.new_names(), &mut first)?;
        first.extend_from_slice(&header.line_end);
    }
    let mut work = Headed { first, work };
    write(reader, written, out, &mut work)?;
    let work = work.work;
    let notes = notes(&work.rejects, &work.joins);
    let manifest = references(&work.joins);
    finish(work.counts, work.rejects.count(), notes, manifest)
}

/// The header goes out with the first batch, or alone.
struct Headed<'a> {
    first: Vec<u8>,
    work: Rows<'a>,
}

impl pipeline::Step for Headed<'_> {
    fn batch(
        &mut self,
        batch: &csv::Batch,
        out: &mut Vec<u8>,
        rejected: &mut Vec<u8>,
    ) -> Result<pipeline::Flow> {
        out.append(&mut self.first);
        self.work.batch(batch, out, rejected)
    }

    fn end(&mut self, out: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<()> {
        out.append(&mut self.first);
        Ok(())
    }
}

/// Runs the work, compressed as the output is to be; a dry run compresses nothing.
fn write<S: pipeline::Batches>(
    reader: S,
    written: &OutputOptions,
    out: Out<'_>,
    work: &mut impl pipeline::Step<S::Batch>,
) -> Result<()> {
    let compression = if out.options.dry_run { Compression::None } else { written.compression };
    let level = if out.options.dry_run { None } else { written.level };
    let mut sink = Sink::new(out.output, compression, level)?;
    pipeline::run(reader, &mut sink, out.rejected, work)?;
    sink.finish().map(drop)
}

/// The joins, each with its rows.
fn ready<'a>(app: &'a Enricher, form: &Form, totals: Vec<Content>) -> Result<Vec<Ready<'a>>> {
    let mut totals = totals.into_iter();
    let one = |join: &'a Join| {
        let content = join.totals().and_then(|_| totals.next());
        Ready::new(join, form, content)
    };
    app.joins.iter().map(one).collect()
}

fn notes(rejects: &Rejects, joins: &[Ready<'_>]) -> Vec<String> {
    let mut notes = rejects.notes();
    notes.extend(joins.iter().filter_map(Ready::note));
    notes
}

fn references(joins: &[Ready<'_>]) -> Vec<Value> {
    joins.iter().filter_map(Ready::manifest).collect()
}

fn finish(counts: Counts, rejected: u64, notes: Vec<String>, references: Vec<Value>) -> Result<Outcome> {
    let mut outcome = Outcome {
        rows_in: counts.rows_in,
        rows_out: counts.rows_out,
        rows_rejected: rejected,
        rows_filtered: counts.rows_filtered,
        refuse: counts.refuse,
        notes,
        ..Outcome::default()
    };
    if !references.is_empty() {
        outcome.manifest.insert("references".to_owned(), references.into());
    }
    outcome.checked("enricher")
}

/// The pass that adds up. The inner error is the reason to refuse the whole file.
fn add_up(
    app: &Enricher,
    input: &mut Spool<'_>,
    options: &InputOptions<'_>,
    limit: Option<u64>,
) -> Result<Result<Vec<Content>>> {
    let Input { records, dialect, .. } = open_input(input, options)?;
    let mut groups: Vec<Groups<'_>> = app.joins.iter().filter_map(Join::totals).map(Groups::new).collect();
    let added = match records {
        Reading::Rows(mut reader) => {
            let header = match read_header(&mut reader, &dialect)? {
                Ok(header) => header,
                Err(refused) => return Ok(Err(refused)),
            };
            match Plan::new(app, &header) {
                Ok(plan) => add_rows(app, &plan, &mut reader, &mut groups, limit)?,
                Err(refused) => return Ok(Err(refused)),
            }
        }
        Reading::Json(mut reader) => add_records(app, &mut reader, &mut groups, limit)?,
    };
    Ok(added.map(|()| groups.into_iter().map(Groups::content).collect()))
}

fn add_rows<R: Read>(
    app: &Enricher,
    plan: &Plan,
    reader: &mut csv::Reader<R>,
    groups: &mut [Groups<'_>],
    limit: Option<u64>,
) -> Result<Result<()>> {
    let joins = app.joins.iter().enumerate().filter_map(|(at, join)| Some((at, join.totals()?)));
    let joins: Vec<_> = joins.collect();
    let (mut key, mut batch, mut counts) = (Vec::new(), csv::Batch::default(), Counts::new(limit));
    while reader.fill(&mut batch)? {
        for row in batch.rows().filter(|row| !row.is_blank()) {
            if !counts.read() {
                return Ok(Ok(()));
            }
            if row.fault().is_some() || row.len() != plan.width {
                continue;
            }
            for ((at, totals), group) in joins.iter().zip(groups.iter_mut()) {
                let (keys, arguments) = (&plan.keys[*at], &plan.arguments[*at]);
                let cells = || arguments.iter().map(|column| row.cell(*column));
                if cells().enumerate().any(|(argument, cell)| totals.wrong(argument, &cell).is_some()) {
                    continue;
                }
                key.clear();
                keys.iter().for_each(|column| push_key(&mut key, &row.cell(*column), keys.len()));
                if let Err(refused) = group.add(&key, cells()) {
                    return Ok(Err(refused));
                }
            }
        }
    }
    Ok(Ok(()))
}

fn add_records<R: Read>(
    app: &Enricher,
    reader: &mut json::Reader<R>,
    groups: &mut [Groups<'_>],
    limit: Option<u64>,
) -> Result<Result<()>> {
    let totals: Vec<_> = app.joins.iter().filter_map(Join::totals).collect();
    let (mut key, mut counts) = (Vec::new(), Counts::new(limit));
    while let Some(record) = reader.next_record()? {
        if !counts.read() {
            break;
        }
        let Ok(fields) = records::fields_of(&record) else { continue };
        for (totals, group) in totals.iter().zip(groups.iter_mut()) {
            let cells = || totals.arguments.iter().map(|name| records::field(name, &fields, &[]));
            if cells().enumerate().any(|(argument, cell)| totals.wrong(argument, &cell).is_some()) {
                continue;
            }
            key.clear();
            let parts = totals.by.len();
            totals.by.iter().for_each(|name| push_key(&mut key, &records::field(name, &fields, &[]), parts));
            if let Err(refused) = group.add(&key, cells()) {
                return Ok(Err(refused));
            }
        }
    }
    Ok(Ok(()))
}
