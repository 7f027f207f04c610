//! One field of a schema: its type, its constraints, and the judgement of one cell.

use super::number::{Number, NumberFormat};
use super::temporal::{self, Moment, Point, TimeFormat};
use super::text::{self, GeoFormat};
use crate::table::shown;
use regex::Regex;
use std::cmp::Ordering;
use std::collections::HashSet;

/// What a cell of this field is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldType {
    Any,
    String(StringFormat),
    Integer(NumberFormat),
    Number(NumberFormat),
    Boolean { yes: Vec<String>, no: Vec<String> },
    Moment(Moment, TimeFormat),
    Year,
    YearMonth,
    Duration,
    Object,
    Array,
    GeoPoint(GeoFormat),
}

/// What a string must look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum StringFormat {
    Default,
    Email,
    Uri,
    Uuid,
    Binary,
}

/// What a cell is, as far as anybody asks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text,
    Bool(bool),
    Number(Number),
    Point(Point),
    Json { text: String, length: usize },
    Geo(f64, f64),
}

/// The constraints of a field; what is not given does not bind.
#[derive(Debug, Default)]
pub(crate) struct Constraints {
    pub(crate) required: bool,
    pub(crate) unique: bool,
    pub(crate) minimum: Option<(String, Value)>,
    pub(crate) maximum: Option<(String, Value)>,
    pub(crate) min_length: Option<usize>,
    pub(crate) max_length: Option<usize>,
    /// As it was written, and anchored at both ends.
    pub(crate) pattern: Option<(String, Regex)>,
    /// As it was written, and by key.
    pub(crate) allowed: Option<(String, HashSet<Vec<u8>>)>,
}

/// One field of a schema.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: FieldType,
    pub(crate) constraints: Constraints,
    /// What stands for no value.
    pub(crate) missing: Vec<String>,
    /// Whether the value itself is wanted beyond this cell, for a key.
    pub(crate) keyed: bool,
}

impl FieldType {
    /// Reads a cell; none where it is not of this type. `wanted` says whether the value is needed.
    pub(crate) fn read(&self, text: &str, wanted: bool) -> Option<Value> {
        let plain = |fine: bool| fine.then_some(Value::Text);
        match self {
            FieldType::Any => Some(Value::Text),
            FieldType::String(format) => plain(format.accepts(text)),
            FieldType::Integer(format) | FieldType::Number(format) if wanted => {
                format.read(text).map(Value::Number)
            }
            FieldType::Integer(format) | FieldType::Number(format) => plain(format.accepts(text)),
            FieldType::Boolean { yes, no } => {
                let is = yes.iter().any(|word| word == text);
                (is || no.iter().any(|word| word == text)).then_some(Value::Bool(is))
            }
            FieldType::Moment(moment, format) => moment.read(format, text).map(Value::Point),
            FieldType::Year => temporal::year(text).map(Value::Point),
            FieldType::YearMonth => temporal::year_month(text).map(Value::Point),
            FieldType::Duration => plain(temporal::is_duration(text)),
            FieldType::Object | FieldType::Array => self.read_json(text),
            FieldType::GeoPoint(format) => {
                text::geopoint(*format, text).map(|(lon, lat)| Value::Geo(lon, lat))
            }
        }
    }

    fn read_json(&self, text: &str) -> Option<Value> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let length = match (self, &value) {
            (FieldType::Object, serde_json::Value::Object(map)) => map.len(),
            (FieldType::Array, serde_json::Value::Array(list)) => list.len(),
            _ => return None,
        };
        Some(Value::Json { text: value.to_string(), length })
    }

    /// What a cell should be, for people: "an integer".
    pub(crate) fn expected(&self) -> String {
        match self {
            FieldType::Any => "a value".to_owned(),
            FieldType::String(StringFormat::Default) => "a string".to_owned(),
            FieldType::String(StringFormat::Email) => "an email address".to_owned(),
            FieldType::String(StringFormat::Uri) => "a URI".to_owned(),
            FieldType::String(StringFormat::Uuid) => "a UUID".to_owned(),
            FieldType::String(StringFormat::Binary) => "base64".to_owned(),
            FieldType::Integer(_) => "an integer".to_owned(),
            FieldType::Number(_) => "a number".to_owned(),
            FieldType::Boolean { yes, no } => {
                format!("a boolean ({} or {})", yes.join(", "), no.join(", "))
            }
            FieldType::Moment(moment, format) => moment.expected(format),
            FieldType::Year => "a year (YYYY)".to_owned(),
            FieldType::YearMonth => "a month (YYYY-MM)".to_owned(),
            FieldType::Duration => "a duration (ISO 8601, such as P1DT2H)".to_owned(),
            FieldType::Object => "a JSON object".to_owned(),
            FieldType::Array => "a JSON array".to_owned(),
            FieldType::GeoPoint(GeoFormat::Default) => "a geopoint (lon, lat)".to_owned(),
            FieldType::GeoPoint(_) => "a geopoint (JSON of lon and lat)".to_owned(),
        }
    }
}

impl StringFormat {
    fn accepts(self, text: &str) -> bool {
        match self {
            StringFormat::Default => true,
            StringFormat::Email => text::is_email(text),
            StringFormat::Uri => text::is_uri(text),
            StringFormat::Uuid => text::is_uuid(text),
            StringFormat::Binary => text::is_base64(text),
        }
    }
}

impl Value {
    /// Equal values of one field have equal keys; the cell's text stands for values that are text.
    pub(crate) fn key(&self, text: &str, into: &mut Vec<u8>) {
        match self {
            Value::Text => into.extend_from_slice(text.as_bytes()),
            Value::Bool(yes) => into.push(u8::from(*yes)),
            Value::Number(number) => number.key(into),
            Value::Point(point) => into.extend_from_slice(&point.to_be_bytes()),
            Value::Json { text, .. } => into.extend_from_slice(text.as_bytes()),
            Value::Geo(lon, lat) => {
                into.extend_from_slice(&lon.to_be_bytes());
                into.extend_from_slice(&lat.to_be_bytes());
            }
        }
    }

    fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Number(a), Value::Number(b)) => a.partial_cmp(b),
            (Value::Point(a), Value::Point(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

impl Field {
    /// Whether the cell stands for no value.
    pub(crate) fn is_missing(&self, text: &str) -> bool {
        self.missing.iter().any(|word| word == text)
    }

    /// Reads a cell that is not missing; the error says what it is not.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        let bounds = &self.constraints;
        let wanted =
            self.keyed || bounds.minimum.is_some() || bounds.maximum.is_some() || bounds.allowed.is_some();
        self.kind.read(text, wanted).ok_or_else(|| format!("{} is not {}", shown(text), self.kind.expected()))
    }

    /// Says each constraint that the value breaks.
    pub(crate) fn broken(&self, text: &str, value: &Value, mut say: impl FnMut(String)) {
        let bounds = &self.constraints;
        if let Some((written, minimum)) = &bounds.minimum
            && !matches!(value.compare(minimum), Some(Ordering::Greater | Ordering::Equal))
        {
            say(format!("{} is below the minimum {written}", shown(text)));
        }
        if let Some((written, maximum)) = &bounds.maximum
            && !matches!(value.compare(maximum), Some(Ordering::Less | Ordering::Equal))
        {
            say(format!("{} is above the maximum {written}", shown(text)));
        }
        if bounds.min_length.is_some() || bounds.max_length.is_some() {
            self.broken_length(text, value, &mut say);
        }
        if let Some((written, pattern)) = &bounds.pattern
            && !pattern.is_match(text)
        {
            say(format!("{} does not match the pattern {written}", shown(text)));
        }
        if let Some((written, allowed)) = &bounds.allowed {
            let mut key = Vec::with_capacity(32);
            value.key(text, &mut key);
            if !allowed.contains(&key) {
                say(format!("{} is not one of {written}", shown(text)));
            }
        }
    }

    fn broken_length(&self, text: &str, value: &Value, say: &mut impl FnMut(String)) {
        let (length, unit) = match value {
            Value::Json { length, .. } => (*length, "items"),
            _ => (text.chars().count(), "characters"),
        };
        if let Some(least) = self.constraints.min_length.filter(|least| length < *least) {
            say(format!("{} has {length} {unit}, fewer than minLength {least}", shown(text)));
        }
        if let Some(most) = self.constraints.max_length.filter(|most| length > *most) {
            say(format!("{} has {length} {unit}, more than maxLength {most}", shown(text)));
        }
    }
}
