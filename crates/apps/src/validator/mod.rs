//! The validator: CSV against a Frictionless Table Schema. Valid rows pass byte for byte, the others are rejected with
//! row number, field and reason, and a report counts them.
//!
//! Invariants:
//! - What passes is valid: no row with an error gets through, and no property of the schema is ignored.
//! - The header must be the schema's names in their order; otherwise the whole file is refused, with the reason.
//! - Rows in = rows out + rows rejected. Memory grows with the rows only where `unique`, `primaryKey` or
//!   `uniqueKeys` ask for it, by some 50 bytes a row.
//!
//! On a crash nothing is lost: the output is void and the file is validated again.

mod check;
mod constraint;
mod field;
mod number;
mod report;
mod schema;
#[cfg(test)]
mod schema_tests;
mod temporal;
mod text;

use crate::app::{AppIo, Outcome, RowApp};
use crate::config::resolve;
use crate::reject::{Reason, Rejects};
use crate::rows::{Fault, RowReader};
use crate::table::{Header, flush, read_header, rest_unreadable, write};
use check::Checker;
use handover_core::{Checksum, Error, Result};
use report::{Found, Report, header_errors};
use schema::Schema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// The configuration of a validator.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The schema: a path, relative to the configuration, or the schema itself.
    pub schema: SchemaSource,
    /// The share of bad rows, from 0.0 to 1.0, above which the whole file goes to quarantine. 1.0, the default, is never.
    #[serde(default = "never")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_error_rate: f64,
    /// How many examples of errors the report has.
    #[serde(default = "ten")]
    pub examples: usize,
}

fn never() -> f64 {
    1.0
}

fn ten() -> usize {
    10
}

/// Where a schema comes from.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected the path of a schema, or a schema as an object")]
pub enum SchemaSource {
    /// A JSON file.
    Path(PathBuf),
    /// The schema itself.
    Inline(Map<String, Value>),
}

/// The most examples that a report may have.
const EXAMPLES_MAX: usize = 10_000;
/// The largest schema that is read.
const SCHEMA_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A validator whose schema is compiled.
#[derive(Debug)]
pub struct Validator {
    schema: Schema,
    names: Vec<String>,
    /// The schema's path as it was given, or `inline`.
    shown: String,
    checksum: Checksum,
    max_error_rate: f64,
    examples: usize,
}

impl Validator {
    /// Reads and compiles the schema; paths are relative to `base`.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where the configuration or the schema is wrong, or what reading the
    /// schema's file gives.
    pub fn new(config: &Config, base: &Path) -> Result<Self> {
        if !(0.0..=1.0).contains(&config.max_error_rate) {
            return Err(Error::config(format!(
                "max_error_rate is {}, which is not between 0.0 and 1.0",
                config.max_error_rate
            ))
            .hint("write 5% as 0.05"));
        }
        if config.examples > EXAMPLES_MAX {
            return Err(Error::config(format!("examples is {}, more than {EXAMPLES_MAX}", config.examples)));
        }
        let (bytes, shown) = match &config.schema {
            SchemaSource::Path(path) => (read_file(&resolve(base, path))?, path.display().to_string()),
            SchemaSource::Inline(map) => {
                (Value::Object(map.clone()).to_string().into_bytes(), "inline".to_owned())
            }
        };
        let json: Value = serde_json::from_slice(strip_mark(&bytes))
            .map_err(|error| Error::config("the schema is not JSON").on(&shown).because(error))?;
        let map =
            json.as_object().ok_or_else(|| Error::config("the schema is not a JSON object").on(&shown))?;
        let schema = Schema::read(map).map_err(|error| error.on(&shown))?;
        let names = schema.fields.iter().map(|field| field.name.clone()).collect();
        let checksum = Checksum(Sha256::digest(&bytes).into());
        Ok(Self {
            schema,
            names,
            shown,
            checksum,
            max_error_rate: config.max_error_rate,
            examples: config.examples,
        })
    }

    fn report(&self, counts: Report, outcome: &Outcome) -> Value {
        let total = outcome.rows_in;
        let mut json = Map::new();
        json.insert("app".to_owned(), self.name().into());
        json.insert("schema".to_owned(), self.shown.as_str().into());
        json.insert("schema_checksum".to_owned(), self.checksum.to_string().into());
        json.insert("total".to_owned(), total.into());
        json.insert("valid".to_owned(), outcome.rows_out.into());
        json.insert("invalid".to_owned(), outcome.rows_rejected.into());
        json.insert("error_rate".to_owned(), error_rate(outcome).into());
        json.insert("max_error_rate".to_owned(), self.max_error_rate.into());
        json.insert(
            "refused".to_owned(),
            outcome.refuse.as_ref().map_or(Value::Bool(false), |error| error.to_string().into()),
        );
        json.extend(counts.into_json(&self.names));
        Value::Object(json)
    }

    /// The outcome of a file of which no row was read.
    fn refused(&self, found: &[Found], error: Error) -> Outcome {
        let mut report = Report::new(self.names.len(), self.examples);
        report.add(1, &self.names, found);
        let mut outcome = Outcome::refused(error);
        outcome.report = Some(self.report(report, &outcome));
        outcome
    }

    fn check_header(&self, header: &Header) -> Option<(Vec<Found>, Error)> {
        let found = header_errors(&header.names, &self.names);
        let first = found.first()?;
        let more = match found.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let error = Error::bad_data(format!(
            "the header does not match the schema: {}: {}{more}",
            first.code.as_str(),
            first.message
        ))
        .hint("mend the header or the schema; the report lists every difference");
        Some((found, error))
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
        let AppIo { input, output, rejected, progress, cancelled } = io;
        let mut reader = RowReader::new(input, progress, cancelled);
        let header = match read_header(&mut reader)? {
            Ok(header) => header,
            Err(error) => return Ok(self.refused(&[], error)),
        };
        if let Some((found, error)) = self.check_header(&header) {
            return Ok(self.refused(&found, error));
        }
        let mut out = BufWriter::with_capacity(128 * 1024, output);
        let mut rejects = Rejects::new(rejected);
        let mut report = Report::new(self.names.len(), self.examples);
        let mut outcome = Outcome::default();
        let mut checker = Checker::new(&self.schema);
        header.write(&mut out)?;
        while let Some(row) = reader.next_row()? {
            if row.is_empty() {
                write(&mut out, row.whole())?;
                continue;
            }
            outcome.rows_in += 1;
            let found = checker.check(&row);
            if found.is_empty() {
                outcome.rows_out += 1;
                write(&mut out, row.whole())?;
                continue;
            }
            report.add(row.number, &self.names, found);
            rejects.reject(&header, &row, &self.reasons(found))?;
            let (fault, number) = (row.fault, row.number);
            if fault == Some(Fault::UnclosedQuote) && reader.lost_bytes() {
                outcome.refuse = Some(rest_unreadable(number));
            }
        }
        flush(&mut out)?;
        outcome.rows_rejected = rejects.count();
        outcome.notes = rejects.finish()?;
        if outcome.refuse.is_none() {
            outcome.refuse = self.too_many_errors(&outcome);
        }
        outcome.manifest.insert(
            "schema".to_owned(),
            json!({ "path": self.shown, "checksum": self.checksum.to_string() }),
        );
        outcome.report = Some(self.report(report, &outcome));
        outcome.checked(self.name())
    }
}

impl Validator {
    fn reasons(&self, found: &[Found]) -> Vec<Reason> {
        let reason = |one: &Found| Reason {
            field: one.column.and_then(|column| self.names.get(column)).cloned(),
            text: format!("{}: {}", one.code.as_str(), one.message),
        };
        found.iter().map(reason).collect()
    }
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

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let length = std::fs::metadata(path).map_err(|error| no_schema(path, error))?.len();
    if length > SCHEMA_MAX_BYTES {
        return Err(
            Error::config(format!("the schema is larger than {SCHEMA_MAX_BYTES} bytes")).on(path.display())
        );
    }
    std::fs::read(path).map_err(|error| no_schema(path, error))
}

fn no_schema(path: &Path, error: std::io::Error) -> Error {
    Error::io("read the schema", path.display(), error)
        .hint("`schema:` is a path relative to the configuration's folder")
}
