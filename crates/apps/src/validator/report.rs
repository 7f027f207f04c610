//! The validation report: counts by field, by kind of error and by rule, and the first examples.
//!
//! Invariant: its size depends on the schema and the configuration, not on the rows. There is no I/O.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The kinds of error, by the names that Frictionless gives them. `source-error` is a row that cannot be read as one,
/// `json-schema` a record that its JSON Schema refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Type,
    Constraint,
    MissingCell,
    ExtraCell,
    BlankRow,
    Unique,
    PrimaryKey,
    ForeignKey,
    RowConstraint,
    JsonSchema,
    Encoding,
    Source,
    IncorrectLabel,
    MissingLabel,
    ExtraLabel,
    DuplicateLabel,
    BlankLabel,
    BlankHeader,
}

impl Code {
    const COUNT: usize = 18;
    const ALL: [(Code, &'static str); Code::COUNT] = [
        (Code::Type, "type-error"),
        (Code::Constraint, "constraint-error"),
        (Code::MissingCell, "missing-cell"),
        (Code::ExtraCell, "extra-cell"),
        (Code::BlankRow, "blank-row"),
        (Code::Unique, "unique-error"),
        (Code::PrimaryKey, "primary-key"),
        (Code::ForeignKey, "foreign-key"),
        (Code::RowConstraint, "row-constraint"),
        (Code::JsonSchema, "json-schema"),
        (Code::Encoding, "encoding-error"),
        (Code::Source, "source-error"),
        (Code::IncorrectLabel, "incorrect-label"),
        (Code::MissingLabel, "missing-label"),
        (Code::ExtraLabel, "extra-label"),
        (Code::DuplicateLabel, "duplicate-label"),
        (Code::BlankLabel, "blank-label"),
        (Code::BlankHeader, "blank-header"),
    ];

    /// The name of the kind.
    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// One thing that is wrong with a row or the header.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The field at fault, counted from 0, where it is one of the schema's.
    pub(crate) column: Option<usize>,
    pub(crate) code: Code,
    /// The cell.
    pub(crate) value: String,
    pub(crate) message: String,
    /// The place in a JSON record, where it is no field of the schema.
    pub(crate) path: Option<String>,
}

impl Found {
    /// One thing that is wrong.
    pub(crate) fn new(column: Option<usize>, code: Code, value: &str, message: String) -> Self {
        Self { column, code, value: value.to_owned(), message, path: None }
    }

    /// The same, at this place of a JSON record.
    pub(crate) fn at(mut self, path: String) -> Self {
        self.path = Some(path);
        self
    }
}

/// How many places of JSON records are counted each by itself.
const PATHS_MAX: usize = 1_000;

type Counts = [u64; Code::COUNT];

/// How often a rule did not hold.
#[derive(Debug)]
struct OfRule {
    name: String,
    severity: &'static str,
    count: u64,
}

/// Counts what is found.
#[derive(Debug)]
pub(crate) struct Report {
    names: Vec<String>,
    by_field: Vec<Counts>,
    /// The same for places in JSON records, which are not known before.
    by_path: BTreeMap<String, Counts>,
    by_kind: Counts,
    rules: Vec<OfRule>,
    warnings: u64,
    examples: Vec<Value>,
    warning_examples: Vec<Value>,
    most_examples: usize,
}

impl Report {
    /// An empty report for these fields and rules (their names and severities).
    pub(crate) fn new(names: Vec<String>, rules: &[(String, &'static str)], most_examples: usize) -> Self {
        let of_rule =
            |(name, severity): &(String, &'static str)| OfRule { name: name.clone(), severity, count: 0 };
        Self {
            by_path: BTreeMap::new(),
            by_field: vec![[0; Code::COUNT]; names.len()],
            names,
            by_kind: [0; Code::COUNT],
            rules: rules.iter().map(of_rule).collect(),
            warnings: 0,
            examples: Vec::new(),
            warning_examples: Vec::new(),
            most_examples,
        }
    }

    /// Counts what was found in one row.
    pub(crate) fn add(&mut self, row: u64, found: &[Found]) {
        for one in found {
            self.by_kind[one.code as usize] += 1;
            if let Some(counts) = one.column.and_then(|column| self.by_field.get_mut(column)) {
                counts[one.code as usize] += 1;
            }
            if let Some(path) = &one.path
                && (self.by_path.len() < PATHS_MAX || self.by_path.contains_key(path))
            {
                self.by_path.entry(path.clone()).or_insert([0; Code::COUNT])[one.code as usize] += 1;
            }
            if self.examples.len() < self.most_examples {
                self.examples.push(json!({
                    "row": row,
                    "field": one.path.as_ref().or_else(|| self.names.get(one.column?)),
                    "code": one.code.as_str(),
                    "value": shortened(&one.value),
                    "message": one.message,
                }));
            }
        }
    }

    /// Counts a rule of which a row is an error.
    pub(crate) fn add_rule(&mut self, rule: usize) {
        if let Some(rule) = self.rules.get_mut(rule) {
            rule.count += 1;
        }
    }

    /// Counts a rule of which a row is only a warning.
    pub(crate) fn warn(&mut self, row: u64, rule: usize, message: &str) {
        self.add_rule(rule);
        self.warnings += 1;
        if self.warning_examples.len() < self.most_examples
            && let Some(rule) = self.rules.get(rule)
        {
            self.warning_examples.push(json!({ "row": row, "rule": rule.name, "message": message }));
        }
    }

    /// How many warnings there were.
    pub(crate) fn warnings(&self) -> u64 {
        self.warnings
    }

    /// The report's own part of the JSON: `by_field`, `by_kind`, `examples`, and what rules came to.
    pub(crate) fn into_json(self) -> Map<String, Value> {
        let counts = |counts: &Counts| -> Map<String, Value> {
            let some = Code::ALL.iter().filter(|(code, _)| counts[*code as usize] > 0);
            some.map(|(code, name)| ((*name).to_owned(), counts[*code as usize].into())).collect()
        };
        let by_field: Map<String, Value> = self
            .names
            .iter()
            .zip(&self.by_field)
            .chain(&self.by_path)
            .map(|(name, of_field)| (name.clone(), counts(of_field)))
            .filter(|(_, of_field)| !of_field.is_empty())
            .map(|(name, of_field)| (name, Value::Object(of_field)))
            .collect();
        let mut json = Map::new();
        json.insert("warnings".to_owned(), self.warnings.into());
        json.insert("by_field".to_owned(), Value::Object(by_field));
        json.insert("by_kind".to_owned(), Value::Object(counts(&self.by_kind)));
        if !self.rules.is_empty() {
            let of_rule = |rule: &OfRule| {
                (rule.name.clone(), json!({ "severity": rule.severity, "count": rule.count }))
            };
            json.insert("by_rule".to_owned(), Value::Object(self.rules.iter().map(of_rule).collect()));
        }
        json.insert("examples".to_owned(), Value::Array(self.examples));
        if !self.warning_examples.is_empty() {
            json.insert("warning_examples".to_owned(), Value::Array(self.warning_examples));
        }
        json
    }
}

/// A value as an example shows it: at most 80 characters.
fn shortened(value: &str) -> String {
    match value.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_place() {
        assert!(Code::ALL.iter().enumerate().all(|(index, (code, _))| *code as usize == index));
    }
}
