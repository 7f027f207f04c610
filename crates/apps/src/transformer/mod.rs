//! The data-transformer: converts between CSV, NDJSON and JSON arrays, and maps fields on the way: renamed, split,
//! parsed, cast, joined, computed, filtered, selected; duplicates left out and records sorted, in bounded memory.
//!
//! - [`config`] what a mapping says · [`mapping`] reading it from a file · [`plan`] compiled · [`bound`] bound to an input.
//! - [`typed`] a mapping by a Table Schema.
//! - [`load`] from a row or a record to [`fields`] · [`cast`], [`numbers`], [`dates`], [`months`] their values ·
//!   [`derive`](mod@derive) fields that are made · [`write`](mod@write) out again · [`keys`], [`order`], [`waiting`]
//!   sorting · [`step`] all of it.
//!
//! Invariants:
//! - Rows in = rows out + rejected + left out (by the filter, or as duplicates).
//! - A value that is not cast passes as it is; one that does not fit rejects its record with the reason.
//! - Nothing is allocated for a field, and for a row only where it has a flaw.
//! - Memory does not grow with the input.
//!
//! On a crash nothing is lost: the output is void until whoever runs the app has published it.

mod bound;
mod cast;
mod config;
mod dates;
mod derive;
mod fields;
mod keys;
mod load;
mod mapping;
mod months;
mod numbers;
mod order;
mod plan;
mod step;
mod typed;
mod waiting;
mod write;

pub use config::{
    Compare, Config, Dates, DatesFull, Deduplicate, DeduplicateFull, Join, Keep, Named, Numbers, OneOrMore,
    Order, Scalar, SortKey, SortKeyFull, Split, Type,
};

use crate::app::{AppIo, Outcome, RowApp, Scratch};
use crate::config::{parse_config, resolve};
use crate::pipeline::{self, Batches};
use crate::reject::Rejects;
use crate::streams::{InputConfig, OutputConfig};
use crate::table::read_header;
use bound::Bound;
use handover_core::{Error, ErrorKind, Result};
use handover_records::{Compression, Format, Input, OutputOptions, Records, Sink, csv, json, open_input};
use load::Loader;
use order::Ordering;
use plan::Plan;
use serde_json::Value;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use step::Work;
use waiting::{Blocks, PassBlocks};

const NAME: &str = "data-transformer";

/// A data-transformer whose mapping is compiled.
pub struct Transformer {
    input: InputConfig,
    output: OutputConfig,
    plan: Plan,
    mapping: Option<PathBuf>,
}

impl Transformer {
    /// Reads the mapping, and compiles it; its path is relative to `base`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the key for what cannot be read, contradicts itself or cannot work.
    pub fn new(config: &Config, base: &Path) -> Result<Self> {
        let mut config = config.clone();
        let mapping = config.mapping.take().map(|path| resolve(base, &path));
        if let Some(path) = &mapping {
            config = with_mapping(&config, path)?;
        }
        config.output.check()?;
        let plan = Plan::new(&config)?;
        Ok(Self { input: config.input, output: config.output, plan, mapping })
    }

    /// The mapping file, where there is one.
    pub fn mapping_path(&self) -> Option<&Path> {
        self.mapping.as_deref()
    }
}

/// The configuration with the keys of the mapping file that it does not give itself.
fn with_mapping(config: &Config, path: &Path) -> Result<Config> {
    let failed =
        |error: serde_json::Error| Error::internal("a configuration cannot be written").because(error);
    let mut keys = mapping::read(path)?;
    if keys.contains_key("mapping") {
        return Err(Error::config("mapping: a mapping file cannot name another").on(path.display()));
    }
    let Value::Object(usual) = serde_json::to_value(Config::default()).map_err(failed)? else {
        return Ok(config.clone());
    };
    let Value::Object(given) = serde_json::to_value(config).map_err(failed)? else {
        return Ok(config.clone());
    };
    for (key, value) in given {
        if usual.get(&key) != Some(&value) {
            keys.insert(key, value);
        }
    }
    parse_config(NAME, &Value::Object(keys)).map_err(|error| {
        let hint = error.hint_text().map(str::to_owned);
        let again = Error::config(error.to_string()).on(path.display());
        match hint {
            Some(hint) => again.hint(hint),
            None => again,
        }
    })
}

/// What a run needs beside its input.
struct Way<'a, 'o> {
    plan: &'a Plan,
    options: &'a OutputOptions,
    output: &'o mut (dyn Write + Send),
    rejected: &'o mut (dyn Write + Send),
    cancelled: &'a (dyn Fn() -> bool + Sync),
    scratch: &'a Scratch<'a>,
    limit: Option<u64>,
}

impl RowApp for Transformer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn output_ext(&self, input_ext: &str) -> String {
        self.output.ext(&self.input, input_ext)
    }

    fn rejected_ext(&self, input_ext: &str) -> &'static str {
        match self.input.kind(input_ext).format {
            Format::Csv => Format::Csv.ext(),
            Format::Ndjson | Format::Json => Format::Ndjson.ext(),
        }
    }

    fn run(&self, io: AppIo<'_>) -> Result<Outcome> {
        let mut kind = self.input.kind(io.input_ext);
        let options = self.input.options(io.input_ext, io.watch());
        let AppIo { input, output, rejected, cancelled, scratch, options: run, .. } = io;
        let Input { records, dialect, .. } = open_input(input, &options)?;
        kind.dialect = dialect;
        let mut to = self.output.options(&kind);
        if run.dry_run {
            (to.compression, to.level) = (Compression::None, None);
        }
        let mut sink = Sink::new(output, to.compression, to.level)?;
        let way = Way {
            plan: &self.plan,
            options: &to,
            output: &mut sink,
            rejected,
            cancelled,
            scratch,
            limit: run.limit,
        };
        let outcome = match records {
            Records::Rows(reader) => way.rows(reader, &kind.dialect)?,
            Records::Json(reader) => way.records(reader)?,
        };
        sink.finish()?;
        if outcome.refuse.is_some() { Ok(outcome) } else { outcome.checked(NAME) }
    }
}

impl<'a> Way<'a, '_> {
    fn ordering(&self) -> Option<Ordering<'a>> {
        let keep = self.plan.unique.as_ref().map(|(_, keep)| *keep);
        self.plan.orders().then(|| Ordering::new(self.scratch, keep, !self.plan.sort.is_empty()))
    }

    fn rows<R: Read + Send>(
        self,
        mut reader: csv::Reader<R>,
        dialect: &handover_records::Dialect,
    ) -> Result<Outcome> {
        let header = match read_header(&mut reader, dialect)? {
            Ok(header) => header,
            Err(error) => return Ok(Outcome::refused(error)),
        };
        let bound = match Bound::to_table(self.plan, &header.names, self.options.format) {
            Err(error) if error.kind() == ErrorKind::BadData => return Ok(Outcome::refused(error)),
            bound => bound?,
        };
        let loader = Loader::of_rows(&bound, self.plan.infer && self.options.format != Format::Csv);
        let rejects = Rejects::of_table(&header, dialect);
        let ordering = self.ordering();
        let mut work =
            Work::new(bound, loader, self.options, ordering, rejects, self.limit).columns(header.names.len());
        if let Err(error) = work.begin() {
            return if error.kind() == ErrorKind::BadData { Ok(Outcome::refused(error)) } else { Err(error) };
        }
        pipeline::run(reader, &mut *self.output, &mut *self.rejected, &mut work)?;
        self.finish(work)
    }

    fn records<R: Read + Send>(self, mut reader: json::Reader<R>) -> Result<Outcome> {
        let bound = Bound::to_records(self.plan)?;
        let to_table = self.options.format == Format::Csv;
        let loader = Loader::of_records(&bound, self.plan.flatten.unwrap_or(to_table));
        let ordering = self.ordering();
        let mut work = Work::new(bound, loader, self.options, ordering, Rejects::of_records(), self.limit);
        let mut first = None;
        if to_table {
            let mut batch = json::Batch::default();
            if reader.fill(&mut batch)? {
                work.settle(&batch);
                first = Some(batch);
            }
            work.begin()?;
        }
        pipeline::run(Begun { first, reader }, &mut *self.output, &mut *self.rejected, &mut work)?;
        self.finish(work)
    }

    /// Writes what waited.
    fn finish(self, mut work: Work<'_, '_>) -> Result<Outcome> {
        let mut pass = PassBlocks::default();
        if !work.is_refused()
            && let Some(waiting) = work.take_waiting()?
        {
            pipeline::run(Blocks::new(waiting, self.cancelled), self.output, self.rejected, &mut pass)?;
        }
        Ok(work.outcome(pass.records))
    }
}

/// A reader of which the first batch was read before.
struct Begun<R> {
    first: Option<json::Batch>,
    reader: json::Reader<R>,
}

impl<R: Read + Send> Batches for Begun<R> {
    type Batch = json::Batch;

    fn fill(&mut self, batch: &mut json::Batch) -> Result<bool> {
        match self.first.take() {
            Some(first) => {
                *batch = first;
                Ok(true)
            }
            None => self.reader.fill(batch),
        }
    }
}
