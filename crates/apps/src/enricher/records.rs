//! Enriching JSON records.
//!
//! Invariant: what a record had stays as it was, byte for byte (a line feed between its parts becomes a space), and its
//! new fields stand behind it; a record that gets not all of them leaves no byte in the output.

use super::config::Unmatched;
use super::content::{Kind, push_key, push_name};
use super::join::Ready;
use super::rows::{Counts, Verdict, not_found};
use crate::expression::Expression;
use crate::pipeline::{Flow, Step};
use crate::reject::{Reason, Rejects};
use crate::table::shown;
use handover_core::Result;
use handover_records::json::{Batch, Fault, Fields, Problem, RecordRef, Shape};
use serde_json::Value;
use std::borrow::Cow;

/// The work on one input of records.
pub(super) struct Records<'a> {
    joins: Vec<Ready<'a>>,
    computed: &'a [(String, Expression)],
    pub(super) rejects: Rejects,
    pub(super) counts: Counts,
    shape: Shape,
    any: bool,
    key: Vec<u8>,
}

impl<'a> Records<'a> {
    pub(super) fn new(
        joins: Vec<Ready<'a>>,
        computed: &'a [(String, Expression)],
        shape: Shape,
        counts: Counts,
    ) -> Self {
        Self { joins, computed, rejects: Rejects::of_records(), counts, shape, any: false, key: Vec::new() }
    }

    pub(super) fn joins(&self) -> &[Ready<'a>] {
        &self.joins
    }

    fn record<'r>(&mut self, record: &RecordRef<'r>, out: &mut Vec<u8>) -> Verdict<'r> {
        let fields = match fields_of(record) {
            Ok(fields) => fields,
            Err(reason) => return Verdict::Rejected(reason),
        };
        let names = self.joins.iter().flat_map(|ready| ready.join.names());
        let taken = names.chain(self.computed.iter().map(|(name, _)| name));
        for name in taken {
            if fields.iter().any(|(field, _)| field == name) {
                let message = "the record has this field already".into();
                return Verdict::Rejected(Reason {
                    field: Some(name.clone().into()),
                    code: "field-exists",
                    message,
                });
            }
        }
        begin(record.raw(), fields.is_empty(), out);
        let start = out.len();
        for index in 0..self.joins.len() {
            if let Some(verdict) = self.join(index, &fields) {
                return verdict;
            }
            out.extend_from_slice(self.joins[index].piece());
        }
        if !self.computed.is_empty()
            && let Err(reason) = self.compute(record, out)
        {
            return Verdict::Rejected(reason);
        }
        if fields.is_empty() && out.len() > start {
            // Without fields before it, the first new one has no comma.
            out.remove(start);
        }
        out.push(b'}');
        Verdict::Passes
    }

    fn join<'r>(&mut self, index: usize, fields: &Fields<'_>) -> Option<Verdict<'r>> {
        let (before, rest) = self.joins.split_at_mut(index);
        let ready = rest.first_mut()?;
        if let Some(totals) = ready.join.totals() {
            for (argument, name) in totals.arguments.iter().enumerate() {
                if let Some(message) = totals.wrong(argument, &field(name, fields, &[])) {
                    let field = Some(Cow::Owned(name.clone()));
                    return Some(Verdict::Rejected(Reason {
                        field,
                        code: "aggregate-error",
                        message: message.into(),
                    }));
                }
            }
        }
        let keys = ready.join.keys();
        self.key.clear();
        keys.iter().for_each(|name| push_key(&mut self.key, &field(name, fields, before), keys.len()));
        let found = ready.look_up(&self.key);
        match ready.unmatched {
            _ if found => None,
            Unmatched::Keep => None,
            Unmatched::Filter => Some(Verdict::LeftOut),
            Unmatched::Reject => {
                let key: Vec<String> = keys
                    .iter()
                    .map(|name| shown(&String::from_utf8_lossy(&field(name, fields, before))))
                    .collect();
                Some(Verdict::Rejected(not_found(ready, &key)))
            }
        }
    }

    /// Calculates the new fields, each of which the next may use.
    fn compute<'r>(&self, record: &RecordRef<'r>, out: &mut Vec<u8>) -> Result<(), Reason<'r>> {
        let mut value = record.parse().map_err(unreadable)?;
        let Value::Object(object) = &mut value else { return Ok(()) };
        for ready in &self.joins {
            for (at, name) in ready.join.names().iter().enumerate() {
                object.insert(name.clone(), json_of(ready.cell(at)));
            }
        }
        for (name, expression) in self.computed {
            let answer = expression.eval_record(&value).and_then(|answer| answer.into_json());
            let answer = answer.map_err(|fault| Reason {
                field: Some(Cow::Owned(name.clone())),
                code: "compute-error",
                message: expression.explain_record(&fault, &value).into(),
            })?;
            push_name(out, name);
            out.extend_from_slice(answer.to_string().as_bytes());
            if let Value::Object(object) = &mut value {
                object.insert(name.clone(), answer);
            }
        }
        Ok(())
    }
}

fn json_of((text, kind): (&[u8], Kind)) -> Value {
    let text = String::from_utf8_lossy(text);
    match kind {
        Kind::Missing => Value::Null,
        Kind::Text => Value::String(text.into_owned()),
        Kind::Json => serde_json::from_str(&text).unwrap_or(Value::Null),
    }
}

/// The text of a field, of the record or of what was joined before.
pub(super) fn field<'f>(name: &str, fields: &'f Fields<'_>, joins: &'f [Ready<'_>]) -> Cow<'f, [u8]> {
    if let Some((_, value)) = fields.iter().find(|(field, _)| field == name) {
        return Kind::of(Some(value)).0;
    }
    for ready in joins {
        if let Some(at) = ready.join.names().iter().position(|known| known == name) {
            return Cow::Borrowed(ready.cell(at).0);
        }
    }
    Cow::Borrowed(b"")
}

/// The fields of a record, or why it has none.
pub(super) fn fields_of<'r>(record: &RecordRef<'r>) -> Result<Fields<'r>, Reason<'r>> {
    // Everything of it goes out as it stands, so the inside is looked at too.
    record.check().map_err(unreadable)?;
    let none = || Reason { field: None, code: "type-error", message: "the record is no object".into() };
    record.fields().map_err(unreadable)?.ok_or_else(none)
}

fn unreadable(problem: Problem) -> Reason<'static> {
    let code = if problem.fault == Fault::NotUtf8 { "encoding-error" } else { "source-error" };
    Reason { field: None, code, message: problem.message.into() }
}

/// Appends an object without its last bracket.
fn begin(raw: &[u8], empty: bool, out: &mut Vec<u8>) {
    let inside = raw.strip_suffix(b"}").unwrap_or(raw);
    let inside = if empty { b"{" } else { inside.trim_ascii_end() };
    if memchr::memchr(b'\n', inside).is_some() {
        out.extend(inside.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
    } else {
        out.extend_from_slice(inside);
    }
}

impl Step<Batch> for Records<'_> {
    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>, rejected: &mut Vec<u8>) -> Result<Flow> {
        for record in batch.records() {
            if !self.counts.read() {
                return Ok(Flow::Stop);
            }
            let start = out.len();
            if self.shape == Shape::Array {
                out.extend_from_slice(if self.any { b",\n" } else { b"[\n" });
            }
            match self.record(&record, out) {
                Verdict::Passes => {
                    self.counts.rows_out += 1;
                    self.any = true;
                    if self.shape == Shape::Lines {
                        out.push(b'\n');
                    }
                }
                Verdict::LeftOut => {
                    out.truncate(start);
                    self.counts.rows_filtered += 1;
                }
                Verdict::Rejected(reason) => {
                    out.truncate(start);
                    self.rejects.record(rejected, &record, &[reason]);
                }
            }
        }
        Ok(Flow::Go)
    }

    fn end(&mut self, out: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<()> {
        if self.shape == Shape::Array {
            out.extend_from_slice(if self.any { b"\n]\n" } else { b"[]\n" });
        }
        Ok(())
    }
}
