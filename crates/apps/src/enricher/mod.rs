//! The enricher: columns taken from reference files by key, columns that say something of all rows with the same key,
//! and columns calculated by CEL, appended to each row of a table or to each JSON record, in this order.
//!
//! Invariants:
//! - What a row had stays as it was, byte for byte; new columns stand after it.
//! - A row gets all its new columns, or is rejected with the reason, or left out where the configuration says so; a key
//!   that a reference does not have is counted.
//! - Rows in = rows out + rows rejected + rows filtered. Memory holds the references, the groups of aggregates and a few
//!   batches.
//!
//! On a crash nothing is lost: the output is void and the file is enriched again.

mod aggregate;
mod config;
mod content;
mod join;
mod passes;
mod plan;
mod records;
mod reference;
mod rows;
mod spool;

pub use config::{Aggregate, Config, Duplicates, Join, Lookup, Names, Output, Pairs, Unmatched};

use crate::app::{AppIo, Outcome, RowApp};
use crate::expression::{Expression, Over};
use crate::streams::{FormatName, InputConfig, OutputConfig};
use handover_core::{Error, Result};
use std::path::Path;

/// An enricher whose references are read and whose expressions are compiled.
pub struct Enricher {
    input: InputConfig,
    output: OutputConfig,
    joins: Vec<join::Join>,
    /// The calculated columns of a table; none where the input is declared to be JSON.
    computed: Vec<(String, Expression)>,
    /// The same over JSON records.
    computed_of_records: Vec<(String, Expression)>,
}

impl Enricher {
    /// Reads the references and compiles the expressions; paths are relative to `base`.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where the configuration, a reference or an expression is wrong, or what
    /// reading a reference gives.
    pub fn new(config: &Config, base: &Path) -> Result<Self> {
        config.output.check()?;
        check_names(config)?;
        let mut joins = Vec::new();
        for lookup in &config.lookups {
            joins.push(join::Join::Lookup(Box::new(join::Compiled::new(lookup, base)?)));
        }
        for aggregate in &config.aggregate {
            joins.push(join::Join::Aggregate(aggregate::Totals::new(aggregate)?));
        }
        let compile = |over: Over| {
            config.compute.0.iter().map(move |pair| compute(pair, over)).collect::<Result<Vec<_>>>()
        };
        let is_json = matches!(config.input.format, Some(FormatName::Ndjson | FormatName::Json));
        Ok(Self {
            input: config.input.clone(),
            output: config.output.config(),
            joins,
            computed: if is_json { Vec::new() } else { compile(Over::Rows)? },
            computed_of_records: compile(Over::Records)?,
        })
    }

    fn new_names(&self) -> impl Iterator<Item = &String> {
        let joined = self.joins.iter().flat_map(join::Join::names);
        joined.chain(self.computed_of_records.iter().map(|(name, _)| name))
    }
}

/// Every new column has a name of its own.
fn check_names(config: &Config) -> Result<()> {
    let mut names: Vec<&str> = Vec::new();
    let taken = config.lookups.iter().flat_map(|lookup| &lookup.take.0);
    let added_up = config.aggregate.iter().flat_map(|aggregate| &aggregate.columns.0);
    for (name, _) in taken.chain(added_up).chain(&config.compute.0) {
        if name.is_empty() || names.contains(&name.as_str()) {
            return Err(Error::config(format!("the new column {name:?} has no name or comes twice"))
                .hint("give one of them another name: take: { ours: theirs }"));
        }
        names.push(name);
    }
    if names.is_empty() {
        return Err(Error::config("the enricher has nothing to add")
            .hint("give it `lookups`, `aggregate` or `compute`"));
    }
    Ok(())
}

fn compute((name, source): &(String, String), over: Over) -> Result<(String, Expression)> {
    match Expression::compile(source, over) {
        Ok(expression) => Ok((name.clone(), expression)),
        Err(error) => {
            let wrong = Error::config(format!("compute: {name}: {error}"));
            Err(match error.hint_text() {
                Some(hint) => wrong.hint(hint),
                None => wrong,
            })
        }
    }
}

impl RowApp for Enricher {
    fn name(&self) -> &'static str {
        "enricher"
    }

    fn run(&self, io: AppIo<'_>) -> Result<Outcome> {
        passes::run(self, io)
    }

    fn output_ext(&self, input_ext: &str) -> String {
        self.output.ext(&self.input, input_ext)
    }
}
