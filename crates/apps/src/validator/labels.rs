//! The header against the schema: which column is which field, and what is wrong where they do not go together.
//!
//! `fieldsMatch` decides: `exact` (the usual) by place, all others by name. A header that is wrong refuses the whole
//! file. There is no I/O.

use super::report::{Code, Found};
use super::schema::{FieldsMatch, Schema};
use crate::table::shown;

/// Which column of the table is which field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The field of each column; none for a column that is not in the schema.
    pub(super) fields: Vec<Option<usize>>,
    /// The column of each field; none for a field that is not in the table.
    pub(super) columns: Vec<Option<usize>>,
}

impl Layout {
    /// The layout of a table that has the schema's fields in their order.
    pub(super) fn in_order(fields: usize) -> Self {
        Self { fields: (0..fields).map(Some).collect(), columns: (0..fields).map(Some).collect() }
    }
}

/// Brings the header's names and the schema's fields together.
///
/// # Errors
/// All that is wrong with the header.
pub(super) fn layout(names: &[String], schema: &Schema) -> Result<Layout, Vec<Found>> {
    let mut found = labels(names);
    let expected: Vec<&str> = schema.fields.iter().map(|field| field.name.as_str()).collect();
    let by_name = schema.matching != FieldsMatch::Exact;
    let layout = if by_name {
        named(names, &expected, schema, &mut found)
    } else {
        placed(names, &expected, &mut found);
        Layout::in_order(expected.len())
    };
    if found.is_empty() { Ok(layout) } else { Err(found) }
}

fn say(found: &mut Vec<Found>, column: usize, code: Code, value: &str, message: String) {
    found.push(Found::new(Some(column), code, value, message));
}

/// What is wrong with the names whatever the schema says.
fn labels(names: &[String]) -> Vec<Found> {
    let mut found = Vec::new();
    if names.iter().all(|name| name.trim().is_empty()) {
        let message = "the header has no names".to_owned();
        found.push(Found::new(None, Code::BlankHeader, "", message));
        return found;
    }
    for (index, name) in names.iter().enumerate() {
        let place = index + 1;
        if name.trim().is_empty() {
            say(&mut found, index, Code::BlankLabel, name, format!("column {place} has no name"));
        } else if let Some(first) = names[..index].iter().position(|other| other == name) {
            let message = format!("column {place} has the name of column {}, {}", first + 1, shown(name));
            say(&mut found, index, Code::DuplicateLabel, name, message);
        }
    }
    found
}

/// Compares by place.
fn placed(names: &[String], expected: &[&str], found: &mut Vec<Found>) {
    for (index, name) in names.iter().enumerate() {
        let place = index + 1;
        match expected.get(index) {
            Some(wanted) if wanted == name => {}
            Some(wanted) => {
                let elsewhere = match names.iter().position(|other| other == wanted) {
                    Some(at) => format!(" (which is column {})", at + 1),
                    None => String::new(),
                };
                let message = format!("column {place} is {}, not {}{elsewhere}", shown(name), shown(wanted));
                say(found, index, Code::IncorrectLabel, name, message);
            }
            None => {
                let message = format!("column {place}, {}, is not in the schema", shown(name));
                say(found, index, Code::ExtraLabel, name, message);
            }
        }
    }
    for (index, wanted) in expected.iter().enumerate().skip(names.len()) {
        let message = format!("column {}, {}, is missing", index + 1, shown(wanted));
        say(found, index, Code::MissingLabel, "", message);
    }
}

/// Brings them together by name.
fn named(names: &[String], expected: &[&str], schema: &Schema, found: &mut Vec<Found>) -> Layout {
    let fields: Vec<Option<usize>> =
        names.iter().map(|name| expected.iter().position(|wanted| wanted == name)).collect();
    let columns: Vec<Option<usize>> =
        expected.iter().map(|wanted| names.iter().position(|name| name == wanted)).collect();
    let more_is_fine = matches!(schema.matching, FieldsMatch::Subset | FieldsMatch::Partial);
    let less_is_fine = matches!(schema.matching, FieldsMatch::Superset | FieldsMatch::Partial);
    if !more_is_fine {
        for (index, _) in fields.iter().enumerate().filter(|(_, field)| field.is_none()) {
            let message = format!("column {}, {}, is not in the schema", index + 1, shown(&names[index]));
            say(found, index, Code::ExtraLabel, &names[index], message);
        }
    }
    for (index, _) in columns.iter().enumerate().filter(|(_, column)| column.is_none()) {
        if !less_is_fine || schema.is_needed(index) {
            let message = format!("there is no column {}", shown(expected[index]));
            say(found, index, Code::MissingLabel, "", message);
        }
    }
    if fields.iter().all(Option::is_none) && found.is_empty() {
        let message = "no column is in the schema".to_owned();
        found.push(Found::new(None, Code::MissingLabel, "", message));
    }
    Layout { fields, columns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn codes(have: &[&str], want: &[&str], matching: &str) -> Vec<&'static str> {
        let fields: Vec<_> = want
            .iter()
            .map(|name| json!({ "name": name, "constraints": { "required": *name == "need" } }))
            .collect();
        let schema = json!({ "fields": fields, "fieldsMatch": matching });
        let schema = Schema::read(schema.as_object().unwrap()).unwrap();
        let names: Vec<String> = have.iter().map(|name| (*name).to_owned()).collect();
        match layout(&names, &schema) {
            Ok(_) => Vec::new(),
            Err(found) => found.iter().map(|one| one.code.as_str()).collect(),
        }
    }

    #[test]
    fn a_header_that_differs_is_explained() {
        assert!(codes(&["a", "b"], &["a", "b"], "exact").is_empty());
        assert_eq!(codes(&["a"], &["a", "b"], "exact"), ["missing-label"]);
        assert_eq!(codes(&["a", "b", "c"], &["a", "b"], "exact"), ["extra-label"]);
        assert_eq!(codes(&["b", "a"], &["a", "b"], "exact"), ["incorrect-label", "incorrect-label"]);
        assert_eq!(codes(&["a", "a"], &["a", "b"], "exact"), ["duplicate-label", "incorrect-label"]);
        assert_eq!(codes(&["a", ""], &["a", "b"], "exact"), ["blank-label", "incorrect-label"]);
        assert_eq!(codes(&["", " "], &["a", "b"], "exact")[0], "blank-header");
    }

    #[test]
    fn other_ways_go_by_name() {
        for (have, matching, expected) in [
            (&["b", "a"][..], "equal", &[][..]),
            (&["b"], "equal", &["missing-label"]),
            (&["b", "a", "c"], "equal", &["extra-label"]),
            (&["c", "b", "a"], "subset", &[]),
            (&["c", "a"], "subset", &["missing-label"]),
            (&["b"], "superset", &[]),
            (&["b", "c"], "superset", &["extra-label"]),
            (&["b", "c"], "partial", &[]),
            (&["c"], "partial", &["missing-label"]),
            (&["b", "b"], "equal", &["duplicate-label", "missing-label"]),
        ] {
            assert_eq!(codes(have, &["a", "b"], matching), expected, "{have:?} {matching}");
        }
        assert_eq!(codes(&["a"], &["a", "need"], "superset"), ["missing-label"]);
    }
}
