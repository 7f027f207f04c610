//! The validation report: counts by field and by kind of error, and the first examples.

use crate::table::shown;
use serde_json::{Map, Value, json};

/// The kinds of error, by the names that Frictionless gives them. `source-error` is a row that cannot be read as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Type,
    Constraint,
    MissingCell,
    ExtraCell,
    BlankRow,
    Unique,
    PrimaryKey,
    Encoding,
    Source,
    IncorrectLabel,
    MissingLabel,
    ExtraLabel,
    DuplicateLabel,
    BlankLabel,
}

impl Code {
    const COUNT: usize = 14;
    const ALL: [Code; Code::COUNT] = [
        Code::Type,
        Code::Constraint,
        Code::MissingCell,
        Code::ExtraCell,
        Code::BlankRow,
        Code::Unique,
        Code::PrimaryKey,
        Code::Encoding,
        Code::Source,
        Code::IncorrectLabel,
        Code::MissingLabel,
        Code::ExtraLabel,
        Code::DuplicateLabel,
        Code::BlankLabel,
    ];

    /// The name of the kind.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Code::Type => "type-error",
            Code::Constraint => "constraint-error",
            Code::MissingCell => "missing-cell",
            Code::ExtraCell => "extra-cell",
            Code::BlankRow => "blank-row",
            Code::Unique => "unique-error",
            Code::PrimaryKey => "primary-key-error",
            Code::Encoding => "encoding-error",
            Code::Source => "source-error",
            Code::IncorrectLabel => "incorrect-label",
            Code::MissingLabel => "missing-label",
            Code::ExtraLabel => "extra-label",
            Code::DuplicateLabel => "duplicate-label",
            Code::BlankLabel => "blank-label",
        }
    }
}

/// One thing that is wrong with a row or the header.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The column at fault, counted from 0, where it is one of the schema's.
    pub(crate) column: Option<usize>,
    pub(crate) code: Code,
    /// The cell.
    pub(crate) value: String,
    pub(crate) message: String,
}

type Counts = [u64; Code::COUNT];

/// Counts what is found. Its size depends on the schema, not on the rows.
#[derive(Debug)]
pub(crate) struct Report {
    by_field: Vec<Counts>,
    by_kind: Counts,
    examples: Vec<Value>,
    most_examples: usize,
}

impl Report {
    /// An empty report for so many columns.
    pub(crate) fn new(columns: usize, most_examples: usize) -> Self {
        Self {
            by_field: vec![[0; Code::COUNT]; columns],
            by_kind: [0; Code::COUNT],
            examples: Vec::new(),
            most_examples,
        }
    }

    /// Counts what was found in one row.
    pub(crate) fn add(&mut self, row: u64, names: &[String], found: &[Found]) {
        for one in found {
            self.by_kind[one.code as usize] += 1;
            if let Some(counts) = one.column.and_then(|column| self.by_field.get_mut(column)) {
                counts[one.code as usize] += 1;
            }
            if self.examples.len() < self.most_examples {
                self.examples.push(json!({
                    "row": row,
                    "field": one.column.and_then(|column| names.get(column)),
                    "code": one.code.as_str(),
                    "value": shortened(&one.value),
                    "message": one.message,
                }));
            }
        }
    }

    /// The report's own part of the JSON: `by_field`, `by_kind`, `examples`.
    pub(crate) fn into_json(self, names: &[String]) -> Map<String, Value> {
        let counts = |counts: &Counts| -> Map<String, Value> {
            let some = Code::ALL.iter().filter(|code| counts[**code as usize] > 0);
            some.map(|code| (code.as_str().to_owned(), counts[*code as usize].into())).collect()
        };
        let by_field: Map<String, Value> = names
            .iter()
            .zip(&self.by_field)
            .map(|(name, of_field)| (name.clone(), counts(of_field)))
            .filter(|(_, of_field)| !of_field.is_empty())
            .map(|(name, of_field)| (name, Value::Object(of_field)))
            .collect();
        let mut json = Map::new();
        json.insert("by_field".to_owned(), Value::Object(by_field));
        json.insert("by_kind".to_owned(), Value::Object(counts(&self.by_kind)));
        json.insert("examples".to_owned(), Value::Array(self.examples));
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

/// Compares the header's names with the schema's, in their order.
pub(crate) fn header_errors(names: &[String], expected: &[String]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut say = |column: usize, code: Code, value: &str, message: String| {
        found.push(Found { column: Some(column), code, value: value.to_owned(), message });
    };
    for (index, name) in names.iter().enumerate() {
        let place = index + 1;
        if name.trim().is_empty() {
            say(index, Code::BlankLabel, name, format!("column {place} has no name"));
        } else if let Some(first) = names[..index].iter().position(|other| other == name) {
            let message = format!("column {place} has the name of column {}, {}", first + 1, shown(name));
            say(index, Code::DuplicateLabel, name, message);
        }
        match expected.get(index) {
            Some(wanted) if wanted == name => {}
            Some(wanted) => {
                let elsewhere = match names.iter().position(|other| other == wanted) {
                    Some(at) => format!(" (which is column {})", at + 1),
                    None => String::new(),
                };
                let message = format!("column {place} is {}, not {}{elsewhere}", shown(name), shown(wanted));
                say(index, Code::IncorrectLabel, name, message);
            }
            None => {
                let message = format!("column {place}, {}, is not in the schema", shown(name));
                say(index, Code::ExtraLabel, name, message);
            }
        }
    }
    for (index, wanted) in expected.iter().enumerate().skip(names.len()) {
        say(index, Code::MissingLabel, "", format!("column {}, {}, is missing", index + 1, shown(wanted)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_differs_is_explained() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let codes = |have: &[&str], want: &[&str]| {
            header_errors(&names(have), &names(want)).iter().map(|f| f.code.as_str()).collect::<Vec<_>>()
        };
        assert!(codes(&["a", "b"], &["a", "b"]).is_empty());
        assert_eq!(codes(&["a"], &["a", "b"]), ["missing-label"]);
        assert_eq!(codes(&["a", "b", "c"], &["a", "b"]), ["extra-label"]);
        assert_eq!(codes(&["b", "a"], &["a", "b"]), ["incorrect-label", "incorrect-label"]);
        assert_eq!(codes(&["a", "a"], &["a", "b"]), ["duplicate-label", "incorrect-label"]);
        assert_eq!(codes(&["a", ""], &["a", "b"]), ["blank-label", "incorrect-label"]);
    }

    #[test]
    fn every_code_has_its_place() {
        assert!(Code::ALL.iter().enumerate().all(|(index, code)| *code as usize == index));
    }
}
