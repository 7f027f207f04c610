//! The fields that a mapping makes: split, joined, computed; and whether a record is kept.

use super::bound::Bound;
use super::fields::{Fields, Item, Kind};
use super::load::{Flaw, Loader};
use crate::expression::{Expression, Value};
use handover_records::Format;
use serde_json::{Map, Value as Json};

/// Makes fields.
#[derive(Default)]
pub(super) struct Deriver {
    /// A value under way.
    value: Vec<u8>,
}

impl Deriver {
    /// Makes the fields of a record; false where the filter leaves it out. What cannot be made is a flaw.
    pub(super) fn derive<'a>(
        &mut self,
        bound: &Bound<'_>,
        loader: &mut Loader,
        over: Format,
        fields: &mut Fields<'a>,
    ) -> bool {
        fields.resize(bound.names.len());
        default_made(bound, loader, fields);
        split(bound, loader, fields);
        join(bound, loader, fields);
        if bound.computes.is_empty() && bound.filter.is_none() {
            return true;
        }
        let mut record = (over != Format::Csv).then(|| record_of(bound, fields));
        for (slot, expression) in &bound.computes {
            let Some(item) = self.compute(&bound.names[*slot], expression, record.as_ref(), loader, fields)
            else {
                continue;
            };
            let item = finished(bound, loader, *slot, item, fields);
            fields.set(*slot, item);
            if let Some(record) = &mut record {
                put(record, &bound.names[*slot], json_of(fields, *slot));
            }
        }
        let Some(filter) = bound.filter.as_ref().filter(|_| loader.flaws.is_empty()) else { return true };
        let (kept, why) = match &record {
            None => match filter.holds_row(&*fields) {
                Ok(kept) => (kept, None),
                Err(fault) => (false, Some(filter.explain_row(&fault, &*fields))),
            },
            Some(record) => match filter.holds_record(record) {
                Ok(kept) => (kept, None),
                Err(fault) => (false, Some(filter.explain_record(&fault, record))),
            },
        };
        loader.flaws.extend(why.map(|message| Flaw { field: None, code: "filter-error", message }));
        kept
    }

    /// The value of an expression; none where it has none.
    fn compute<'a>(
        &mut self,
        name: &str,
        expression: &Expression,
        record: Option<&Json>,
        loader: &mut Loader,
        fields: &mut Fields<'a>,
    ) -> Option<Item<'a>> {
        self.value.clear();
        let value = match record {
            None => expression.eval_row(&*fields),
            Some(record) => expression.eval_record(record),
        };
        let written = value.and_then(|value| {
            let kind = match &value {
                Value::Null => Kind::Missing,
                Value::Bool(_) => Kind::Bool,
                Value::Int(_) | Value::UInt(_) | Value::Double(_) => Kind::Number,
                Value::Text(_) => Kind::Text,
                Value::Json(_) => Kind::Json,
            };
            match kind {
                Kind::Json => value.write_json(&mut self.value),
                _ => value.write_csv(&mut self.value),
            }
            .map(|()| kind)
        });
        match written {
            Ok(Kind::Text) if record.is_none() && loader.is_missing(&self.value) => Some(Item::MISSING),
            Ok(kind) => Some(fields.write(kind, |own| own.extend_from_slice(&self.value))),
            Err(fault) => {
                let message = match record {
                    None => expression.explain_row(&fault, &*fields),
                    Some(record) => expression.explain_record(&fault, record),
                };
                loader.flaws.push(Flaw { field: Some(name.to_owned()), code: "compute-error", message });
                None
            }
        }
    }
}

/// A made value by the rule of its field.
fn finished<'a>(
    bound: &Bound<'_>,
    loader: &mut Loader,
    slot: usize,
    item: Item<'a>,
    fields: &mut Fields<'a>,
) -> Item<'a> {
    match bound.specs[slot].rule {
        Some(rule) => loader.ruled(&bound.names[slot], rule, item, fields),
        None => item,
    }
}

fn split<'a>(bound: &Bound<'_>, loader: &mut Loader, fields: &mut Fields<'a>) {
    for split in &bound.splits {
        let item = fields.item(split.from);
        let mut at = if item.kind.is_some() { Some(0) } else { None };
        for (index, slot) in split.into.iter().enumerate() {
            let part = match at {
                None => Item::MISSING,
                Some(from) => {
                    let bytes = fields.bytes(&item);
                    let last = index + 1 == split.into.len();
                    let found = memchr::memmem::find(&bytes[from..], split.by).filter(|_| !last);
                    let to = found.map_or(bytes.len(), |found| from + found);
                    at = found.map(|_| to + split.by.len());
                    let missing = loader.is_missing(&bytes[from..to]) || from == to;
                    if missing { Item::MISSING } else { fields.part(&item, from, to) }
                }
            };
            let part = finished(bound, loader, *slot, part, fields);
            fields.set(*slot, part);
        }
    }
}

fn join<'a>(bound: &Bound<'_>, loader: &mut Loader, fields: &mut Fields<'a>) {
    for join in &bound.joins {
        let start = fields.mark();
        let mut any = false;
        for slot in &join.from {
            let item = fields.item(*slot);
            if !item.kind.is_some() {
                continue;
            }
            if std::mem::replace(&mut any, true) {
                fields.buffer().extend_from_slice(join.with);
            }
            fields.copy(&item);
        }
        let joined = if any { fields.since(start, Kind::Text) } else { Item::MISSING };
        let joined = finished(bound, loader, join.into, joined, fields);
        fields.set(join.into, joined);
    }
}

/// Fields of a table that only a default makes.
fn default_made<'a>(bound: &Bound<'_>, loader: &mut Loader, fields: &mut Fields<'a>) {
    for slot in &bound.defaults {
        if fields.kind(*slot) == Kind::Absent && !bound.specs[*slot].made {
            let item = finished(bound, loader, *slot, Item::ABSENT, fields);
            fields.set(*slot, item);
        }
    }
}

/// The record as expressions see it.
fn record_of(bound: &Bound<'_>, fields: &Fields<'_>) -> Json {
    let mut record = Json::Object(Map::new());
    for slot in 0..fields.len() {
        if fields.kind(slot) != Kind::Absent {
            put(&mut record, &bound.names[slot], json_of(fields, slot));
        }
    }
    record
}

/// Puts a field into the record, one with a dotted name into the object that it came from too.
fn put(record: &mut Json, name: &str, value: Json) {
    let Json::Object(map) = record else { return };
    if let Some((first, rest)) = name.split_once('.') {
        let inside = map.entry(first).or_insert_with(|| Json::Object(Map::new()));
        put(inside, rest, value.clone());
    }
    map.insert(name.to_owned(), value);
}

fn json_of(fields: &Fields<'_>, slot: usize) -> Json {
    let bytes = fields.get(slot);
    match fields.kind(slot) {
        Kind::Absent | Kind::Missing => Json::Null,
        Kind::Text => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        Kind::Bool => Json::Bool(bytes == b"true"),
        Kind::Number | Kind::Json => serde_json::from_slice(bytes).unwrap_or(Json::Null),
    }
}
