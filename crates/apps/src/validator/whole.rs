//! Checks of the table as a whole: how many rows pass, what their columns sum up to, that they do not repeat. What does
//! not hold refuses the whole file.
//!
//! All of them are about the rows that pass: about the table that the next app gets. Sums are exact to 12 decimals; what
//! does not fit is added as floating-point numbers. There is no I/O.

use super::fast::integer;
use super::field::{FieldType, Value, json_number};
use super::number::{Decimal, Number};
use super::schema::Schema;
use handover_core::suggest::nearest;
use handover_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// Checks of the whole table. The rows that pass are what counts.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableConfig {
    /// The fewest rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rows: Option<u64>,
    /// The most rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u64>,
    /// What the values of a column sum up to; missing values count as nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sum: BTreeMap<String, SumConfig>,
    /// Columns of which no two rows may have the same values: a column, or several as a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unique: Vec<OneOrMore>,
}

/// What a sum has to be.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SumConfig {
    /// Exactly this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<serde_json::Number>,
    /// At least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<serde_json::Number>,
    /// At most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<serde_json::Number>,
}

/// A column, or several.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected the name of a column, or a list of names")]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several, together.
    More(Vec<String>),
}

impl OneOrMore {
    fn names(&self) -> &[String] {
        match self {
            OneOrMore::One(name) => std::slice::from_ref(name),
            OneOrMore::More(names) => names,
        }
    }
}

/// Sums are kept in units of 10^-12.
const PLACES: i64 = 12;
const UNITS: i128 = 10i128.pow(12);

/// The checks, ready for runs.
#[derive(Debug, Default)]
pub(super) struct Whole {
    min_rows: Option<u64>,
    max_rows: Option<u64>,
    sums: Vec<(Summed, SumConfig)>,
    /// The fields of each `unique`.
    pub(super) unique: Vec<Vec<usize>>,
}

/// A column that is summed up.
#[derive(Debug, Clone)]
pub(super) struct Summed {
    /// Its name.
    pub(super) name: String,
    /// The field of a Table Schema; none where records are judged by a JSON Schema.
    pub(super) field: Option<usize>,
}

impl Whole {
    /// The checks of a table with this schema, or of records without one.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] for a column that the schema does not have or that holds no numbers.
    pub(super) fn new(config: &TableConfig, schema: Option<&Schema>) -> Result<Self> {
        if let (Some(least), Some(most)) = (config.min_rows, config.max_rows)
            && least > most
        {
            return Err(Error::config(format!("table: min_rows is {least}, and max_rows {most}")));
        }
        if schema.is_none() && !config.unique.is_empty() {
            return Err(Error::config("table: unique needs a Table Schema, and the schema is a JSON Schema"));
        }
        let sum = |(name, bounds): (&String, &SumConfig)| {
            let field = schema.map(|schema| number_field(schema, name)).transpose()?;
            Ok((Summed { name: name.clone(), field }, bounds.clone()))
        };
        let columns = |names: &OneOrMore| -> Result<Vec<usize>> {
            let found =
                names.names().iter().map(|name| schema.map_or(Ok(0), |schema| find(schema, "unique", name)));
            let columns: Vec<usize> = found.collect::<Result<_>>()?;
            if columns.is_empty() { Err(Error::config("table: unique names no column")) } else { Ok(columns) }
        };
        Ok(Self {
            min_rows: config.min_rows,
            max_rows: config.max_rows,
            sums: config.sum.iter().map(sum).collect::<Result<_>>()?,
            unique: config.unique.iter().map(columns).collect::<Result<_>>()?,
        })
    }

    /// Nothing counted yet.
    pub(super) fn start(&self) -> Running<'_> {
        Running { whole: self, rows: 0, sums: vec![Sum::default(); self.sums.len()] }
    }
}

fn find(schema: &Schema, what: &str, name: &str) -> Result<usize> {
    let names = || schema.fields.iter().map(|field| field.name.as_str());
    names().position(|known| known == name).ok_or_else(|| {
        let error = Error::config(format!("table: {what}: {name:?} is not a field of the schema"));
        match nearest(name, names()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        }
    })
}

fn number_field(schema: &Schema, name: &str) -> Result<usize> {
    let field = find(schema, "sum", name)?;
    match schema.fields[field].kind {
        FieldType::Integer(_) | FieldType::Number(_) => Ok(field),
        _ => Err(Error::config(format!("table: sum: the field {name:?} is no integer or number"))),
    }
}

/// A sum under way.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    units: i128,
    rest: f64,
}

impl Sum {
    fn add(&mut self, number: &Number) {
        let exact = match number {
            Number::Finite(decimal) => decimal.scaled(PLACES).and_then(|units| self.units.checked_add(units)),
            Number::Infinite { .. } | Number::Nan => None,
        };
        match (exact, number) {
            (Some(units), _) => self.units = units,
            (None, Number::Finite(decimal)) => self.rest += decimal.to_f64(),
            (None, Number::Infinite { negative }) => {
                self.rest += if *negative { f64::NEG_INFINITY } else { f64::INFINITY };
            }
            (None, Number::Nan) => self.rest = f64::NAN,
        }
    }

    fn add_whole(&mut self, number: i64) {
        match i128::from(number).checked_mul(UNITS).and_then(|units| self.units.checked_add(units)) {
            Some(units) => self.units = units,
            None => self.rest += i128::from(number) as f64,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "shown, or compared with what is no more exact")]
    fn value(&self) -> f64 {
        self.units as f64 / UNITS as f64 + self.rest
    }

    fn compare(&self, bound: &serde_json::Number) -> Option<std::cmp::Ordering> {
        let bound = match json_number(true).read(&bound.to_string())? {
            Number::Finite(decimal) => decimal,
            _ => return None,
        };
        match Decimal::scaled(&bound, PLACES) {
            Some(units) if self.rest == 0.0 => Some(self.units.cmp(&units)),
            _ => self.value().partial_cmp(&bound.to_f64()),
        }
    }

    fn shown(&self) -> String {
        if self.rest != 0.0 {
            return self.value().to_string();
        }
        let (whole, part) = (self.units / UNITS, (self.units % UNITS).unsigned_abs());
        let sign = if self.units < 0 && whole == 0 { "-" } else { "" };
        let text = format!("{sign}{whole}.{part:012}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// The checks of one run.
#[derive(Debug)]
pub(super) struct Running<'w> {
    whole: &'w Whole,
    rows: u64,
    sums: Vec<Sum>,
}

impl Running<'_> {
    /// Counts a row that passes. The error refuses the whole file.
    ///
    /// # Errors
    /// Where there are too many rows already.
    #[inline]
    pub(super) fn count(&mut self) -> Result<()> {
        self.rows += 1;
        match self.whole.max_rows {
            Some(most) if self.rows > most => {
                Err(Error::bad_data(format!("the table has more than max_rows {most} rows")))
            }
            _ => Ok(()),
        }
    }

    /// Adds the cells of a row that passes; `cell` gives a field's, if it is there.
    pub(super) fn add_cells<'c>(
        &mut self,
        schema: &Schema,
        cell: impl Fn(usize) -> Option<std::borrow::Cow<'c, [u8]>>,
    ) {
        for ((summed, _), sum) in self.whole.sums.iter().zip(&mut self.sums) {
            let Some((field, text)) = summed.field.and_then(|field| Some((field, cell(field)?))) else {
                continue;
            };
            let field = &schema.fields[field];
            let plain =
                matches!(&field.kind, FieldType::Integer(format) if format.bare && format.group.is_none());
            match integer(&text).filter(|_| plain && field.missing.len() == usize::from(field.is_missing("")))
            {
                Some(whole) => sum.add_whole(whole),
                None => {
                    let text = String::from_utf8_lossy(&text);
                    if !field.is_missing(&text)
                        && let Some(Value::Number(number)) = field.kind.read(&text, true)
                    {
                        sum.add(&number);
                    }
                }
            }
        }
    }

    /// Adds the values of a record that passes.
    pub(super) fn add_record(&mut self, record: &Json) {
        for ((summed, _), sum) in self.whole.sums.iter().zip(&mut self.sums) {
            let text = match record.get(&summed.name) {
                Some(Json::Number(number)) => number.to_string(),
                Some(Json::String(text)) => text.clone(),
                _ => continue,
            };
            if let Some(number) = json_number(true).read(&text) {
                sum.add(&number);
            }
        }
    }

    /// Whether anything is summed up.
    pub(super) fn has_sums(&self) -> bool {
        !self.sums.is_empty()
    }

    /// What it came to, for the report, and the first reason to refuse the file.
    pub(super) fn finish(&self) -> (Map<String, Json>, Option<Error>) {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let mut json = Map::new();
        let mut refuse = None;
        if let Some(least) = self.whole.min_rows.filter(|least| self.rows < *least) {
            let rows = self.rows;
            refuse = Some(Error::bad_data(format!("{rows} rows pass, fewer than min_rows {least}")));
        }
        for ((summed, bounds), sum) in self.whole.sums.iter().zip(&self.sums) {
            json.insert(format!("sum of {}", summed.name), sum.shown().into());
            for (bound, fine, what) in [
                (&bounds.equals, [Equal, Equal], "equal to"),
                (&bounds.minimum, [Greater, Equal], "at least"),
                (&bounds.maximum, [Less, Equal], "at most"),
            ] {
                let Some(bound) = bound else { continue };
                let holds = sum.compare(bound).is_some_and(|order| fine.contains(&order));
                if !holds && refuse.is_none() {
                    refuse = Some(Error::bad_data(format!(
                        "the sum of {} is {}, not {what} {bound}",
                        summed.name,
                        sum.shown()
                    )));
                }
            }
        }
        (json, refuse)
    }
}
