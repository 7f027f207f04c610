//! Validating JSON records, by a JSON Schema or by a Table Schema. What passes is written as its own bytes.
//!
//! By a Table Schema a record is a row: its members are the cells, a member that is not there is a missing value, and
//! values have their JSON types; a text is read as a cell is.

use super::field::as_text;
use super::keys::Keys;
use super::report::{Code, Found, Report};
use super::rules::Rules;
use super::schema::{FieldsMatch, Schema};
use super::table_run::Counts;
use super::whole::Running;
use crate::pipeline::{Flow, Step};
use crate::reject::{Reason, Rejects};
use crate::table::shown;
use handover_core::Result;
use handover_records::json::{Batch, Fault, RecordRef, Shape};
use jsonschema::Validator;
use serde_json::Value;

/// How many errors of one record are told.
const ERRORS_MAX: usize = 100;

/// What records are judged by.
pub(super) enum By<'v> {
    Json(&'v Validator),
    Table(&'v Schema, Box<Keys<'v>>),
}

/// One run over records.
pub(super) struct RecordRun<'v> {
    pub(super) by: By<'v>,
    pub(super) rules: &'v Rules,
    pub(super) whole: Running<'v>,
    pub(super) rejects: Rejects,
    pub(super) report: Report,
    pub(super) limit: u64,
    pub(super) counts: Counts,
    pub(super) shape: Shape,
    pub(super) found: Vec<Found>,
}

impl RecordRun<'_> {
    /// Judges a record; gives its value where it passes.
    fn judge(&mut self, record: &RecordRef<'_>) -> Option<Value> {
        self.found.clear();
        let value = match record.parse() {
            Ok(value) => value,
            Err(problem) => {
                let code = if problem.fault == Fault::NotUtf8 { Code::Encoding } else { Code::Source };
                let value = String::from_utf8_lossy(record.raw()).into_owned();
                self.found.push(Found::new(None, code, &value, problem.message));
                return None;
            }
        };
        match &mut self.by {
            By::Json(schema) => by_json_schema(schema, &value, &mut self.found),
            By::Table(schema, keys) => {
                by_table_schema(schema, keys, &value, &mut self.found);
                keys.check(&mut self.found);
            }
        }
        if self.found.is_empty() && !self.rules.is_empty() {
            self.rules.check_record(record.number(), &value, &mut self.report, &mut self.found);
        }
        self.found.is_empty().then_some(value)
    }

    fn take(&mut self, number: u64, value: &Value) -> Result<()> {
        self.counts.rows_out += 1;
        self.whole.count()?;
        if let By::Table(_, keys) = &mut self.by {
            keys.take(number)?;
        }
        self.whole.add_record(value);
        Ok(())
    }

    fn write(&self, record: &RecordRef<'_>, out: &mut Vec<u8>) {
        match self.shape {
            Shape::Array => out.extend_from_slice(if self.counts.rows_out == 0 { b"[\n" } else { b",\n" }),
            Shape::Lines => {}
        }
        out.extend_from_slice(record.raw());
        if self.shape == Shape::Lines {
            out.push(b'\n');
        }
    }

    fn reject(&mut self, record: &RecordRef<'_>, rejected: &mut Vec<u8>) {
        self.report.add(record.number(), &self.found);
        let names: &[super::field::Field] = match &self.by {
            By::Table(schema, _) => &schema.fields,
            By::Json(_) => &[],
        };
        let reason = |found: &Found| Reason {
            field: match (&found.path, found.column.and_then(|column| names.get(column))) {
                (Some(path), _) => Some(path.clone().into()),
                (None, Some(field)) => Some(field.name.clone().into()),
                (None, None) => None,
            },
            code: found.code.as_str(),
            message: found.message.clone().into(),
        };
        let reasons: Vec<Reason<'_>> = self.found.iter().map(reason).collect();
        self.rejects.record(rejected, record, &reasons);
    }
}

fn by_json_schema(schema: &Validator, value: &Value, found: &mut Vec<Found>) {
    if schema.is_valid(value) {
        return;
    }
    for error in schema.iter_errors(value).take(ERRORS_MAX) {
        let path = error.instance_path().as_str().to_owned();
        let at = error.instance().to_string();
        // The message without the value, which may be long, and may be secret.
        let message = format!("{}: {}", error.schema_path().as_str(), error.masked());
        found.push(Found::new(None, Code::JsonSchema, &at, message).at(path));
    }
}

fn by_table_schema(schema: &Schema, keys: &mut Keys<'_>, value: &Value, found: &mut Vec<Found>) {
    keys.parts.clear(schema.fields.len());
    let Some(record) = value.as_object() else {
        let message = "the record is not a JSON object".to_owned();
        return found.push(Found::new(None, Code::Source, &value.to_string(), message));
    };
    let mut blank = true;
    for (index, field) in schema.fields.iter().enumerate() {
        let cell = record.get(&field.name).unwrap_or(&Value::Null);
        let text = as_text(cell);
        if cell.is_null() || (cell.is_string() && field.is_missing(&text)) {
            if field.constraints.required {
                let message = "a value is required".to_owned();
                found.push(Found::new(Some(index), Code::Constraint, &text, message));
            }
            continue;
        }
        blank = false;
        match field.read_json(cell) {
            Err(message) => found.push(Found::new(Some(index), Code::Type, &text, message)),
            Ok(read) => {
                field.broken(&text, &read, |message| {
                    found.push(Found::new(Some(index), Code::Constraint, &text, message));
                });
                if field.keyed {
                    keys.parts.note(index, |into| {
                        read.key(&text, into);
                        true
                    });
                }
            }
        }
    }
    if blank {
        found.clear();
        found.push(Found::new(None, Code::BlankRow, "", "the record has no value".to_owned()));
    }
    if !matches!(schema.matching, FieldsMatch::Subset | FieldsMatch::Partial) {
        let known = |name: &String| schema.fields.iter().any(|field| field.name == *name);
        for (name, cell) in record.iter().filter(|(name, _)| !known(name)) {
            let message = format!("the member {} is not in the schema", shown(name));
            found.push(Found::new(None, Code::ExtraCell, &as_text(cell), message).at(name.clone()));
        }
    }
}

impl Step<Batch> for RecordRun<'_> {
    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>, rejected: &mut Vec<u8>) -> Result<Flow> {
        for record in batch.records() {
            if self.counts.rows_in >= self.limit || self.counts.refuse.is_some() {
                return Ok(Flow::Stop);
            }
            self.counts.rows_in += 1;
            match self.judge(&record) {
                Some(value) => {
                    self.write(&record, out);
                    if let Err(error) = self.take(record.number(), &value) {
                        self.counts.refuse = Some(error);
                    }
                }
                None => self.reject(&record, rejected),
            }
        }
        Ok(Flow::Go)
    }

    fn end(&mut self, out: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<()> {
        if self.shape == Shape::Array {
            out.extend_from_slice(if self.counts.rows_out == 0 { b"[]\n" } else { b"\n]\n" });
        }
        Ok(())
    }
}
