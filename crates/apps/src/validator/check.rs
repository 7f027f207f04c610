//! Judging one row.

use super::report::{Code, Found};
use super::schema::Schema;
use crate::rows::Row;
use crate::table::shown;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Remembers the values of one key by a hash of 128 bits and the row that had them: some 50 bytes a row.
///
/// Two hashes with random seeds make a false match unlikely beyond anything else that can go wrong (2^-64 for a
/// thousand million rows), and memory independent of the values' length.
#[derive(Default)]
struct Seen {
    rows: HashMap<u128, u64>,
    seeds: (RandomState, RandomState),
    /// The row under way; it counts only if the row passes.
    pending: Option<u128>,
}

/// Judges the rows of one input, one after the other.
pub(crate) struct Checker<'s> {
    schema: &'s Schema,
    seen: Vec<Seen>,
    /// The keys of the cells of the row under way, one for each column that is part of a key.
    keys: Vec<Option<Vec<u8>>>,
    found: Vec<Found>,
}

impl<'s> Checker<'s> {
    /// A checker that has seen nothing.
    pub(crate) fn new(schema: &'s Schema) -> Self {
        Self {
            schema,
            seen: schema.keys.iter().map(|_| Seen::default()).collect(),
            keys: vec![None; schema.fields.len()],
            found: Vec::new(),
        }
    }

    /// What is wrong with the row; nothing is where it passes.
    pub(crate) fn check(&mut self, row: &Row<'_>) -> &[Found] {
        self.found.clear();
        if let Some(fault) = row.fault {
            self.say(None, Code::Source, &String::from_utf8_lossy(row.content()), fault.message());
            return &self.found;
        }
        if (0..row.len()).all(|index| row.cell(index).is_empty()) {
            self.say(None, Code::BlankRow, "", "the row is blank".to_owned());
            return &self.found;
        }
        let columns = self.schema.fields.len();
        for index in 0..columns.min(row.len()) {
            self.cell(index, row);
        }
        for index in row.len()..columns {
            self.keys[index] = None;
            self.say(
                Some(index),
                Code::MissingCell,
                "",
                format!("the row has {} cells of {columns}", row.len()),
            );
        }
        if row.len() > columns {
            let extra = String::from_utf8_lossy(row.raw_from(columns)).into_owned();
            self.say(None, Code::ExtraCell, &extra, format!("the row has {} cells of {columns}", row.len()));
        }
        self.unique(row.number);
        &self.found
    }

    fn say(&mut self, column: Option<usize>, code: Code, value: &str, message: String) {
        self.found.push(Found { column, code, value: value.to_owned(), message });
    }

    fn cell(&mut self, index: usize, row: &Row<'_>) {
        let schema = self.schema;
        let field = &schema.fields[index];
        let bytes = row.cell(index);
        self.keys[index] = None;
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                let message = format!("byte {} of the cell is not UTF-8", at + 1);
                self.say(Some(index), Code::Encoding, &String::from_utf8_lossy(&bytes), message);
                return;
            }
        };
        if field.is_missing(text) {
            if field.constraints.required {
                self.say(Some(index), Code::Constraint, text, "a value is required".to_owned());
            }
            return;
        }
        let value = match field.read(text) {
            Ok(value) => value,
            Err(message) => return self.say(Some(index), Code::Type, text, message),
        };
        let found = &mut self.found;
        field.broken(text, &value, |message| {
            found.push(Found {
                column: Some(index),
                code: Code::Constraint,
                value: text.to_owned(),
                message,
            });
        });
        if field.keyed {
            let mut key = Vec::new();
            value.key(text, &mut key);
            self.keys[index] = Some(key);
        }
    }

    /// Checks the keys. A row takes its keys only if nothing is wrong with it, so that what passes is unique
    /// and a rejected row does not stand in the way of a good one.
    fn unique(&mut self, number: u64) {
        let schema = self.schema;
        for (key, seen) in schema.keys.iter().zip(&mut self.seen) {
            seen.pending = None;
            let parts: Vec<&[u8]> = key.columns.iter().filter_map(|c| self.keys[*c].as_deref()).collect();
            let code = if key.primary { Code::PrimaryKey } else { Code::Unique };
            let names =
                || key.columns.iter().map(|c| schema.fields[*c].name.as_str()).collect::<Vec<_>>().join(", ");
            if parts.len() < key.columns.len() {
                let whole = self.found.iter().any(|f| f.column.is_some_and(|c| key.columns.contains(&c)));
                if key.primary && !whole {
                    let message = format!("the primary key ({}) has no value", names());
                    self.found.push(Found {
                        column: key.columns.first().copied(),
                        code,
                        value: String::new(),
                        message,
                    });
                }
                continue;
            }
            let hash =
                (u128::from(seen.seeds.0.hash_one(&parts)) << 64) | u128::from(seen.seeds.1.hash_one(&parts));
            if let Some(first) = seen.rows.get(&hash) {
                let message = format!("({}) is the same as in row {first}", names());
                let value =
                    parts.iter().map(|part| String::from_utf8_lossy(part)).collect::<Vec<_>>().join(", ");
                let value = if value.contains(char::is_control) { shown(&value) } else { value };
                self.found.push(Found { column: key.columns.first().copied(), code, value, message });
            } else {
                seen.pending = Some(hash);
            }
        }
        if self.found.is_empty() {
            for seen in &mut self.seen {
                if let Some(hash) = seen.pending.take() {
                    seen.rows.insert(hash, number);
                }
            }
        }
    }
}
