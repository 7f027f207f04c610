//! The validator: tables against a Frictionless Table Schema, JSON records against a JSON Schema or a Table Schema, both
//! against rules in CEL and checks of the table as a whole. Valid rows pass byte for byte, the others are rejected with
//! row number, field and reason, and a report counts them.
//!
//! - [`config`] its `with:` · [`schema`], [`types`], [`constraint`], [`json_schema`] reading a schema · [`labels`] the
//!   header · [`table_run`], [`record_run`] a run · [`infer`] a first schema from a file.
//! - [`fast`] judging a cell quickly, with [`pattern`] and [`words`] · [`judge`], [`field`], [`number`], [`temporal`],
//!   [`duration`], [`text`], [`geo`] exactly · [`keys`], [`references`] what must not repeat or must be elsewhere ·
//!   [`rules`], [`whole`] · [`report`] · [`value`] one value by itself.
//!
//! Invariants:
//! - What passes is valid: no row with an error gets through, and no property of the schema is ignored.
//! - A header that does not go with the schema refuses the whole file, with the reason.
//! - Rows in = rows out + rows rejected. Memory grows with the rows only where keys ask for it ([`keys`]).
//!
//! On a crash nothing is lost: the output is void and the file is validated again.

mod config;
mod constraint;
mod duration;
mod fast;
mod field;
mod geo;
mod infer;
mod json_schema;
mod judge;
mod keys;
mod labels;
mod number;
mod pattern;
mod record_run;
mod references;
mod report;
mod report_text;
mod rules;
mod run;
mod schema;
#[cfg(test)]
mod schema_tests;
mod table_run;
mod temporal;
mod text;
mod types;
mod value;
mod whole;
mod words;

use crate::app::{AppIo, Outcome, RowApp};
use crate::expression::Over;
use crate::streams::{FormatName, InputConfig, OutputConfig};
pub use config::{Config, SchemaSource};
pub(crate) use field::FieldType;
use handover_core::{Checksum, Error, Result};
pub use infer::infer;
pub(crate) use number::NumberFormat;
use references::References;
use report::Report;
pub use report_text::report_text;
use rules::Rules;
pub use rules::{Rule, Severity};
use schema::{FieldsMatch, Schema};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::path::Path;
pub use value::{Fault, JsonSchema};
use whole::Whole;
pub use whole::{OneOrMore, SumConfig, TableConfig};

/// What rows or records are judged by.
#[derive(Debug)]
enum Judged {
    Table(Box<Schema>),
    Json(Box<jsonschema::Validator>),
}

/// A validator whose schema is compiled.
#[derive(Debug)]
pub struct Validator {
    judged: Judged,
    rules: Rules,
    /// The rules as they were written, for records that are judged by a Table Schema.
    rules_written: Vec<Rule>,
    whole: Whole,
    references: References,
    /// The schema's fields.
    names: Vec<String>,
    /// The schema's path as it was given, or `inline`.
    shown: String,
    checksum: Checksum,
    max_error_rate: f64,
    examples: usize,
    input: InputConfig,
    output: OutputConfig,
}

impl Validator {
    /// Reads and compiles the schema and the rules, and reads the references; paths are relative to `base`.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where the configuration or the schema is wrong, or what reading the
    /// files gives.
    pub fn new(config: &Config, base: &Path) -> Result<Self> {
        config.check()?;
        let (json, bytes, shown) = read_schema(&config.schema, base)?;
        let judged = compile(&json).map_err(|error| error.on(&shown))?;
        let schema = match &judged {
            Judged::Table(schema) => Some(schema.as_ref()),
            Judged::Json(_) => None,
        };
        let records = matches!(config.input.format, Some(FormatName::Ndjson | FormatName::Json));
        let over = if schema.is_some() && !records { Over::Rows } else { Over::Records };
        let rules = Rules::new(&config.rules, over)?;
        let names: Vec<String> = schema
            .map(|schema| schema.fields.iter().map(|field| field.name.clone()).collect())
            .unwrap_or_default();
        // Elsewhere a table may have columns that the schema does not know.
        if over == Over::Rows
            && schema
                .is_some_and(|schema| !matches!(schema.matching, FieldsMatch::Subset | FieldsMatch::Partial))
        {
            rules.bind(&names)?;
        }
        let references = match schema {
            Some(schema) => References::new(schema, &config.references, base)?,
            None if config.references.is_empty() => References::default(),
            None => {
                return Err(Error::config("references are of foreign keys, and the schema is a JSON Schema"));
            }
        };
        let whole = Whole::new(config.table.as_ref().unwrap_or(&TableConfig::default()), schema)?;
        let mut validator = Self {
            rules,
            rules_written: config.rules.clone(),
            whole,
            references,
            names,
            shown,
            checksum: checksum_of(&bytes),
            max_error_rate: config.max_error_rate,
            examples: config.examples,
            input: config.input.clone(),
            output: config.output.clone(),
            judged,
        };
        validator.key_unique_columns();
        Ok(validator)
    }

    /// Columns of `table: unique` have their keys noted.
    fn key_unique_columns(&mut self) {
        if let Judged::Table(schema) = &mut self.judged {
            for column in self.whole.unique.iter().flatten() {
                schema.fields[*column].keyed = true;
            }
        }
    }

    fn new_report(&self) -> Report {
        Report::new(self.names.clone(), &self.rules.names(), self.examples)
    }

    fn report(&self, counts: Report, table: Map<String, Value>, outcome: &Outcome) -> Value {
        let refused = outcome.refuse.as_ref().map_or(Value::Bool(false), |error| error.to_string().into());
        let mut json = Map::new();
        for (key, value) in [
            ("app", self.name().into()),
            ("schema", self.shown.as_str().into()),
            ("schema_checksum", self.checksum.to_string().into()),
            ("total", outcome.rows_in.into()),
            ("valid", outcome.rows_out.into()),
            ("invalid", outcome.rows_rejected.into()),
            ("error_rate", error_rate(outcome).into()),
            ("max_error_rate", self.max_error_rate.into()),
            ("refused", refused),
        ] {
            json.insert(key.to_owned(), value);
        }
        json.extend(counts.into_json());
        if !table.is_empty() {
            json.insert("table".to_owned(), Value::Object(table));
        }
        Value::Object(json)
    }

    fn too_many_errors(&self, outcome: &Outcome) -> Option<Error> {
        let rate = error_rate(outcome);
        (rate > self.max_error_rate).then(|| {
            Error::bad_data(format!(
                "{} of {} rows are bad: error rate {} is above max_error_rate {}",
                outcome.rows_rejected,
                outcome.rows_in,
                percent(rate),
                percent(self.max_error_rate)
            ))
            .hint("the report and the rejected rows say what is wrong")
        })
    }
}

impl RowApp for Validator {
    fn name(&self) -> &'static str {
        "validator"
    }

    fn run(&self, io: AppIo<'_>) -> Result<Outcome> {
        run::run(self, io)?.checked(self.name())
    }

    fn output_ext(&self, input_ext: &str) -> String {
        self.output.ext(&self.input, input_ext)
    }
}

/// Reads a Table Schema.
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] where it is wrong, or a JSON Schema, or what reading its file gives.
pub(crate) fn table_schema(source: &SchemaSource, base: &Path) -> Result<(Schema, Checksum)> {
    let (json, bytes, shown) = read_schema(source, base)?;
    match compile(&json).map_err(|error| error.on(&shown))? {
        Judged::Table(schema) => Ok((*schema, checksum_of(&bytes))),
        Judged::Json(_) => Err(Error::config("this is a JSON Schema, and cells are cast by a Table Schema")
            .on(&shown)
            .hint("a Table Schema is {\"fields\": [{\"name\": …, \"type\": …}]}")),
    }
}

fn checksum_of(bytes: &[u8]) -> Checksum {
    Checksum(Sha256::digest(bytes).into())
}

/// A schema as JSON, its bytes, and what it is called.
fn read_schema(source: &SchemaSource, base: &Path) -> Result<(Value, Vec<u8>, String)> {
    let (bytes, shown) = source.read(base)?;
    let json = serde_json::from_slice(strip_mark(&bytes))
        .map_err(|error| Error::config("the schema is not JSON").on(&shown).because(error))?;
    Ok((json, bytes, shown))
}

/// Compiles a Table Schema or a JSON Schema, whichever it is.
fn compile(json: &Value) -> Result<Judged> {
    if json_schema::is_one(json) {
        return Ok(Judged::Json(Box::new(json_schema::compile(json)?)));
    }
    let map = json.as_object().ok_or_else(|| Error::config("the schema is not a JSON object"))?;
    Ok(Judged::Table(Box::new(Schema::read(map)?)))
}

#[allow(clippy::cast_precision_loss)]
fn error_rate(outcome: &Outcome) -> f64 {
    if outcome.rows_in == 0 { 0.0 } else { outcome.rows_rejected as f64 / outcome.rows_in as f64 }
}

/// A share as a percentage with as many decimals as make it differ from a round one: `12.3%`, `5%`.
fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}%")
}

fn strip_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}
