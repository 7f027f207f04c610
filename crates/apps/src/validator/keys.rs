//! Keys: what must not repeat (`unique`, `primaryKey`, `uniqueKeys`) and what must be elsewhere (`foreignKeys`).
//!
//! A key is remembered by a hash of 128 bits and the row that had it: 27 to 55 bytes, 82 while the table grows, however long it is. Two hashes with
//! random seeds make a false match unlikely beyond anything else that can go wrong (2^-64 for a thousand million rows).
//!
//! Invariants:
//! - A row takes its keys only if nothing is wrong with it, so that what passes is unique and a rejected row does not
//!   stand in the way of a good one.
//! - At most [`KEYS_REMEMBERED_MAX`] keys are remembered in one run; more refuse the file.

use super::fast::integer;
use super::field::{Field, FieldType, StringFormat, Value};
use super::number::whole_key;
use super::report::{Code, Found};
use super::schema::Schema;
use crate::table::shown;
use handover_core::limits::KEYS_REMEMBERED_MAX;
use handover_core::{Error, Result};
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::{Arc, LazyLock};

/// The hash of a key.
pub(super) type KeyHash = [u64; 2];

/// Hashes what is a hash already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }

    fn write_usize(&mut self, _: usize) {}
}

type SameHasher = BuildHasherDefault<Same>;

/// The keys of another table, or of this one.
pub(super) type KeySet = HashSet<KeyHash, SameHasher>;

/// The hash of the parts of a key. The seeds are the process's.
pub(super) fn hash(parts: &[&[u8]]) -> KeyHash {
    static SEEDS: LazyLock<(RandomState, RandomState)> = LazyLock::new(Default::default);
    [SEEDS.0.hash_one(parts), SEEDS.1.hash_one(parts)]
}

/// Writes the key of a cell that is a value of this field; false where it is none.
pub(super) fn push_key(field: &Field, text: &str, into: &mut Vec<u8>) -> bool {
    match &field.kind {
        FieldType::Any | FieldType::String(StringFormat::Default) => into.extend_from_slice(text.as_bytes()),
        FieldType::Integer(format) if format.bare && format.group.is_none() => {
            match integer(text.as_bytes()) {
                Some(number) => whole_key(number, into),
                None => return push_value(field, text, into),
            }
        }
        _ => return push_value(field, text, into),
    }
    true
}

fn push_value(field: &Field, text: &str, into: &mut Vec<u8>) -> bool {
    let value: Option<Value> = field.kind.read(text, true);
    value.map(|value| value.key(text, into)).is_some()
}

/// The keys of the cells of one row, one for each field that is part of a key.
#[derive(Debug, Default)]
pub(super) struct Parts {
    bytes: Vec<u8>,
    spans: Vec<Option<(usize, usize)>>,
}

impl Parts {
    /// Room for a new row.
    pub(super) fn clear(&mut self, fields: usize) {
        self.bytes.clear();
        self.spans.clear();
        self.spans.resize(fields, None);
    }

    /// Notes the key of a field, which `write` appends, if it answers true.
    pub(super) fn note(&mut self, field: usize, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let start = self.bytes.len();
        if write(&mut self.bytes) {
            self.spans[field] = Some((start, self.bytes.len()));
        } else {
            self.bytes.truncate(start);
        }
    }

    /// The parts of a key; none where one is not there.
    fn of(&self, fields: &[usize]) -> Option<Vec<&[u8]>> {
        fields.iter().map(|field| self.spans[*field].map(|(start, end)| &self.bytes[start..end])).collect()
    }

    /// The hash of a key; none where a part is not there. A key of one part, the usual, allocates nothing.
    pub(super) fn hash(&self, fields: &[usize]) -> Option<KeyHash> {
        match fields {
            [field] => self.spans[*field].map(|(start, end)| hash(&[&self.bytes[start..end]])),
            fields => self.of(fields).map(|parts| hash(&parts)),
        }
    }

    fn is_empty(&self, fields: &[usize]) -> bool {
        fields.iter().all(|field| self.spans[*field].is_none())
    }
}

/// One key and what had it so far.
#[derive(Debug, Default)]
struct Seen {
    rows: HashMap<KeyHash, u64, SameHasher>,
    /// The row under way; it counts only if the row passes.
    pending: Option<KeyHash>,
}

/// The keys of one run.
pub(super) struct Keys<'s> {
    schema: &'s Schema,
    seen: Vec<Seen>,
    /// The tables of the foreign keys, in the schema's order.
    foreign: Vec<Arc<KeySet>>,
    /// Columns that `table: unique` names: what repeats there refuses the file.
    whole: Vec<(Vec<usize>, Seen)>,
    remembered: usize,
    /// The key of the row under way.
    pub(super) parts: Parts,
}

impl<'s> Keys<'s> {
    /// Nothing is remembered yet.
    pub(super) fn new(schema: &'s Schema, foreign: Vec<Arc<KeySet>>, whole: &[Vec<usize>]) -> Self {
        let seen = schema.keys.iter().map(|_| Seen::default()).collect();
        let whole = whole.iter().map(|columns| (columns.clone(), Seen::default())).collect();
        Self { schema, seen, foreign, whole, remembered: 0, parts: Parts::default() }
    }

    /// Whether there is any key to be checked.
    pub(super) fn is_needed(&self) -> bool {
        !self.seen.is_empty() || !self.foreign.is_empty() || !self.whole.is_empty()
    }

    /// Checks the keys of the row whose parts were noted.
    pub(super) fn check(&mut self, found: &mut Vec<Found>) {
        self.repeated(found);
        self.elsewhere(found);
    }

    fn names(&self, columns: &[usize]) -> String {
        let names: Vec<&str> =
            columns.iter().map(|column| self.schema.fields[*column].name.as_str()).collect();
        names.join(", ")
    }

    fn repeated(&mut self, found: &mut Vec<Found>) {
        let schema = self.schema;
        for (index, key) in schema.keys.iter().enumerate() {
            let code = if key.primary { Code::PrimaryKey } else { Code::Unique };
            let hash = self.parts.hash(&key.columns);
            self.seen[index].pending = None;
            let message = match hash {
                Some(hash) => match self.seen[index].rows.get(&hash) {
                    Some(first) => format!("({}) is the same as in row {first}", self.names(&key.columns)),
                    None => {
                        self.seen[index].pending = Some(hash);
                        continue;
                    }
                },
                None => {
                    let said = found.iter().any(|f| f.column.is_some_and(|c| key.columns.contains(&c)));
                    if !key.primary || said {
                        continue;
                    }
                    format!("the primary key ({}) has no value", self.names(&key.columns))
                }
            };
            let value = if hash.is_some() { self.value(&key.columns) } else { String::new() };
            found.push(Found::new(key.columns.first().copied(), code, &value, message));
        }
    }

    fn elsewhere(&self, found: &mut Vec<Found>) {
        for (key, known) in self.schema.foreign.iter().zip(&self.foreign) {
            if self.parts.is_empty(&key.columns) {
                continue;
            }
            if self.parts.hash(&key.columns).is_some_and(|hash| known.contains(&hash)) {
                continue;
            }
            if found.iter().any(|one| one.column.is_some_and(|column| key.columns.contains(&column))) {
                continue;
            }
            let (names, theirs) = (self.names(&key.columns), key.fields.join(", "));
            let message = match &key.resource {
                Some(resource) => format!("({names}) is not among ({theirs}) of {}", shown(resource)),
                None => format!("({names}) is not among ({theirs}) of this table"),
            };
            let (column, value) = (key.columns.first().copied(), self.value(&key.columns));
            found.push(Found::new(column, Code::ForeignKey, &value, message));
        }
    }

    /// The values of a key, for people: numbers and dates as they are remembered are left out.
    fn value(&self, columns: &[usize]) -> String {
        let readable = |column: &usize| {
            matches!(self.schema.fields[*column].kind, FieldType::Any | FieldType::String(_))
        };
        if !columns.iter().all(readable) {
            return String::new();
        }
        let parts = self.parts.of(columns).unwrap_or_default();
        let parts: Vec<String> =
            parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        parts.join(", ")
    }

    /// Remembers the keys of a row that passes. The inner error refuses the whole file.
    ///
    /// # Errors
    /// Where there are more keys than can be remembered, or `table: unique` does not hold.
    pub(super) fn take(&mut self, row: u64) -> Result<()> {
        for seen in &mut self.seen {
            if let Some(hash) = seen.pending.take() {
                seen.rows.insert(hash, row);
                self.remembered += 1;
            }
        }
        for (columns, seen) in &mut self.whole {
            let Some(hash) = self.parts.hash(columns) else { continue };
            self.remembered += 1;
            if let Some(first) = seen.rows.insert(hash, row) {
                let names: Vec<&str> = columns.iter().map(|c| self.schema.fields[*c].name.as_str()).collect();
                return Err(Error::bad_data(format!(
                    "the table is not unique by ({}): rows {first} and {row} are the same",
                    names.join(", ")
                ))
                .hint(
                    "`table: unique` refuses the whole file; `uniqueKeys` in the schema rejects the rows",
                ));
            }
        }
        if self.remembered > KEYS_REMEMBERED_MAX {
            return Err(Error::bad_data(format!(
                "the keys of more than {KEYS_REMEMBERED_MAX} rows would have to be remembered"
            ))
            .hint("split the file, or leave the check of such a key to a database"));
        }
        Ok(())
    }
}
