//! A first Table Schema from a file: types, formats, what is required, and small sets of values.
//!
//! It is a beginning, not a contract: the first [`ROWS_MAX`] rows are looked at, and no bounds are guessed. A type is
//! taken only if every value of the column is of it; the narrowest goes first.
//!
//! Memory is bounded by the columns and [`ENUM_MAX`]; on a crash nothing is lost, as it only reads.

use super::field::{Field, FieldType, StringFormat};
use super::schema::Schema;
use crate::streams::InputConfig;
use crate::table::read_header;
use handover_core::{Error, Result};
use handover_records::{Records, Watch, csv, json, open_input};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// How many rows are looked at.
const ROWS_MAX: u64 = 1_000_000;
/// How many columns may be.
const COLUMNS_MAX: usize = 10_000;
/// How many values a small set may have, and how often each has to come on average.
const ENUM_MAX: usize = 12;
const ENUM_LEAST_REPEATS: u64 = 20;
/// The longest value of a small set.
const ENUM_VALUE_MAX_BYTES: usize = 64;
/// What often stands for no value; it is taken for that where the column's type is otherwise clear.
const MISSING_WORDS: &[&str] = &["NA", "N/A", "null", "NULL", "NaN", "-"];

/// The types that are tried, narrowest first: as a schema writes them.
const CANDIDATES: &[(&str, &str)] = &[
    ("boolean", "default"),
    ("integer", "default"),
    ("number", "default"),
    ("date", "default"),
    ("datetime", "default"),
    ("time", "default"),
    ("yearmonth", "default"),
    ("duration", "default"),
    ("geojson", "default"),
    ("object", "default"),
    ("array", "default"),
    ("date", "%d.%m.%Y"),
    ("date", "%d/%m/%Y"),
    ("date", "%m/%d/%Y"),
    ("datetime", "%Y-%m-%d %H:%M:%S"),
    ("geopoint", "default"),
    ("string", "uuid"),
    ("string", "email"),
    ("string", "uri"),
];

/// What is known of a column so far.
#[derive(Debug)]
struct Guess {
    name: String,
    /// Which candidates every value is of.
    fits: Vec<bool>,
    values: u64,
    empty: u64,
    /// Words of [`MISSING_WORDS`] that came.
    missing: BTreeSet<&'static str>,
    /// The values, until they are too many.
    set: Option<BTreeMap<String, u64>>,
}

impl Guess {
    fn new(name: String) -> Self {
        let fits = vec![true; CANDIDATES.len()];
        Self { name, fits, values: 0, empty: 0, missing: BTreeSet::new(), set: Some(BTreeMap::new()) }
    }

    fn see(&mut self, text: &str, candidates: &[Field]) {
        if text.is_empty() {
            self.empty += 1;
            return;
        }
        if let Some(word) = MISSING_WORDS.iter().find(|word| **word == text) {
            self.missing.insert(word);
            return self.remember(text);
        }
        self.values += 1;
        for (fits, candidate) in self.fits.iter_mut().zip(candidates) {
            *fits = *fits && candidate.kind.read(text, false).is_some();
        }
        self.remember(text);
    }

    fn remember(&mut self, text: &str) {
        let Some(set) = &mut self.set else { return };
        *set.entry(text.to_owned()).or_insert(0) += 1;
        if set.len() > ENUM_MAX || text.len() > ENUM_VALUE_MAX_BYTES {
            self.set = None;
        }
    }

    /// The field, as a schema writes it.
    fn field(&self) -> Value {
        let mut field = Map::new();
        field.insert("name".to_owned(), self.name.as_str().into());
        let only_booleans = |index: usize| CANDIDATES[index].0 != "boolean" || self.is_boolean();
        let fit =
            (0..CANDIDATES.len()).find(|index| self.values > 0 && self.fits[*index] && only_booleans(*index));
        let (kind, format) = fit.map_or(("string", "default"), |index| CANDIDATES[index]);
        field.insert("type".to_owned(), kind.into());
        if format != "default" {
            field.insert("format".to_owned(), format.into());
        }
        let missing = fit.is_some() && !self.missing.is_empty();
        if missing {
            let words: Vec<Value> =
                std::iter::once("").chain(self.missing.iter().copied()).map(Value::from).collect();
            field.insert("missingValues".to_owned(), words.into());
        }
        let mut constraints = Map::new();
        if self.empty == 0 && !missing && (self.values > 0 || !self.missing.is_empty()) {
            constraints.insert("required".to_owned(), true.into());
        }
        if kind == "string"
            && format == "default"
            && let Some(set) = &self.set
            && set.len() > 1
            && set.values().sum::<u64>() >= ENUM_LEAST_REPEATS * set.len() as u64
        {
            constraints.insert("enum".to_owned(), set.keys().cloned().map(Value::from).collect());
        }
        if !constraints.is_empty() {
            field.insert("constraints".to_owned(), Value::Object(constraints));
        }
        Value::Object(field)
    }

    /// Words rather than the numbers 0 and 1, which may count something.
    fn is_boolean(&self) -> bool {
        self.set.as_ref().is_some_and(|set| {
            set.keys()
                .any(|word| !matches!(word.as_str(), "0" | "1") && !MISSING_WORDS.contains(&word.as_str()))
        })
    }
}

/// Reads a table or records and proposes a Table Schema for them. `ext` is the extension of the input's name, which says
/// the format where `input` does not.
///
/// # Errors
/// Where the input cannot be read, or has no header.
pub fn infer(input: &mut dyn Read, ext: &str, config: &InputConfig) -> Result<Value> {
    let candidates = candidates()?;
    let opened = open_input(input, &config.options(ext, Watch::default()))?;
    let guesses = match opened.records {
        Records::Rows(mut reader) => {
            let header = read_header(&mut reader, &opened.dialect)??;
            let guesses = header.names.into_iter().map(Guess::new).collect();
            of_rows(reader, guesses, &candidates)?
        }
        Records::Json(reader) => of_records(reader, &candidates)?,
    };
    if guesses.is_empty() || guesses.len() > COLUMNS_MAX {
        return Err(Error::bad_data(format!(
            "it has {} columns, and 1 to {COLUMNS_MAX} can be described",
            guesses.len()
        )));
    }
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), "https://datapackage.org/profiles/2.0/tableschema.json".into());
    schema.insert("fields".to_owned(), guesses.iter().map(Guess::field).collect());
    Ok(Value::Object(schema))
}

fn candidates() -> Result<Vec<Field>> {
    let field = |(index, (kind, format)): (usize, &(&str, &str))| serde_json::json!({ "name": format!("c{index}"), "type": kind, "format": format });
    let fields: Vec<Value> = CANDIDATES.iter().enumerate().map(field).collect();
    let mut schema = Map::new();
    schema.insert("fields".to_owned(), fields.into());
    Ok(Schema::read(&schema)?.fields)
}

fn of_rows<R: Read>(
    mut reader: csv::Reader<R>,
    mut guesses: Vec<Guess>,
    candidates: &[Field],
) -> Result<Vec<Guess>> {
    let mut batch = csv::Batch::default();
    let mut rows = 0;
    while rows < ROWS_MAX && reader.fill(&mut batch)? {
        for row in batch.rows().filter(|row| !row.is_blank() && row.fault().is_none()) {
            rows += 1;
            for (index, guess) in guesses.iter_mut().enumerate() {
                guess.see(&String::from_utf8_lossy(&row.cell(index)), candidates);
            }
        }
    }
    Ok(guesses)
}

fn of_records<R: Read>(mut reader: json::Reader<R>, candidates: &[Field]) -> Result<Vec<Guess>> {
    let mut guesses: Vec<Guess> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut batch = json::Batch::default();
    let mut rows = 0u64;
    while rows < ROWS_MAX && reader.fill(&mut batch)? {
        for value in batch.records().filter_map(|record| record.parse().ok()) {
            for (name, cell) in value.as_object().into_iter().flatten() {
                let place = *places.entry(name.clone()).or_insert_with(|| {
                    guesses.push(Guess { empty: rows, ..Guess::new(name.clone()) });
                    guesses.len() - 1
                });
                let guess = &mut guesses[place];
                guess.see(&super::field::as_text(cell), candidates);
                // A text of digits is a text.
                if let Value::String(text) = cell {
                    for (fits, candidate) in guess.fits.iter_mut().zip(candidates) {
                        *fits = *fits && (is_text(candidate) || text.is_empty());
                    }
                }
            }
            rows += 1;
            for guess in guesses.iter_mut().filter(|guess| value.get(&guess.name).is_none()) {
                guess.empty += 1;
            }
            if guesses.len() > COLUMNS_MAX {
                return Ok(guesses);
            }
        }
    }
    Ok(guesses)
}

/// Whether JSON writes values of this type as texts.
fn is_text(field: &Field) -> bool {
    matches!(
        field.kind,
        FieldType::Moment(..)
            | FieldType::YearMonth
            | FieldType::Duration
            | FieldType::String(StringFormat::Email | StringFormat::Uri | StringFormat::Uuid)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(text: &str, ext: &str) -> Vec<Value> {
        let schema = infer(&mut text.as_bytes(), ext, &InputConfig::default()).unwrap();
        schema["fields"].as_array().unwrap().clone()
    }

    #[test]
    fn a_table_is_described() {
        let mut text = "id,price,day,at,ok,kind,note,code,when,none\n".to_owned();
        for row in 0..50 {
            let kind = ["a", "b"][row % 2];
            let note = if row == 3 { "" } else { "text" };
            text.push_str(&format!(
                "{row},{row}.5,2025-01-{:02},2025-01-01T00:00:00Z,true,{kind},{note}{row},NA,3{}.01.2025,\n",
                row % 28 + 1,
                row % 2
            ));
        }
        let fields = fields(&text.replace(",NA,", ",5,").replacen(",5,", ",NA,", 1), "csv");
        let required = json!({ "required": true });
        assert_eq!(fields[0], json!({ "name": "id", "type": "integer", "constraints": required }));
        assert_eq!(fields[1]["type"], "number");
        assert_eq!((&fields[2]["type"], &fields[3]["type"]), (&json!("date"), &json!("datetime")));
        assert_eq!(fields[4]["type"], "boolean");
        assert_eq!(fields[5]["constraints"], json!({ "required": true, "enum": ["a", "b"] }));
        assert_eq!(fields[6], json!({ "name": "note", "type": "string", "constraints": required }));
        assert_eq!(fields[7], json!({ "name": "code", "type": "integer", "missingValues": ["", "NA"] }));
        assert_eq!(fields[8]["format"], "%d.%m.%Y");
        assert_eq!(fields[9], json!({ "name": "none", "type": "string" }));
    }

    #[test]
    fn records_are_described() {
        let fields = fields("{\"a\":1,\"b\":\"1\"}\n{\"a\":2.5,\"c\":true}\n", "ndjson");
        assert_eq!(fields[0], json!({ "name": "a", "type": "number", "constraints": { "required": true } }));
        assert_eq!(fields[1], json!({ "name": "b", "type": "string" }));
        assert_eq!(fields[2], json!({ "name": "c", "type": "boolean" }));
    }
}
