//! One field of a schema: its type, its constraints, and the judgement of one cell or one JSON value.
//!
//! This is the exact judgement, with its reasons; [`super::fast`] only says sooner of most cells that they are fine.
//! There is no I/O, and no input makes it panic.

use super::duration::Span;
use super::geo::{self, GeoFormat};
use super::number::{Number, NumberFormat};
use super::temporal::{self, Moment, Point, TimeFormat};
use super::text;
use crate::table::shown;
use regex::Regex;
use serde_json::Value as Json;
use std::borrow::Cow;
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
    List { delimiter: String, item: Box<FieldType> },
    GeoPoint(GeoFormat),
    GeoJson { topology: bool },
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
    Span(Span),
    Json(Json),
    /// The keys of its items, and how many they are.
    List(Vec<u8>, usize),
    Geo(f64, f64),
}

/// A bound as it was written, and its value.
pub(crate) type Bound = Option<(String, Value)>;

/// The constraints of a field; what is not given does not bind.
#[derive(Debug, Default)]
pub(crate) struct Constraints {
    pub(crate) required: bool,
    pub(crate) unique: bool,
    pub(crate) minimum: Bound,
    pub(crate) maximum: Bound,
    pub(crate) above: Bound,
    pub(crate) below: Bound,
    pub(crate) min_length: Option<usize>,
    pub(crate) max_length: Option<usize>,
    /// As it was written, and anchored at both ends.
    pub(crate) pattern: Option<(String, Regex)>,
    /// As it was written, and by key.
    pub(crate) allowed: Option<(String, HashSet<Vec<u8>>)>,
    pub(crate) json_schema: Option<jsonschema::Validator>,
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
            FieldType::Duration => Span::read(text).map(Value::Span),
            FieldType::Object | FieldType::Array | FieldType::GeoJson { .. } => {
                self.of_json(serde_json::from_str(text).ok()?)
            }
            FieldType::List { delimiter, item } => {
                read_list(text.split(delimiter.as_str()), |part| Some((part, item.read(part, wanted)?)))
            }
            FieldType::GeoPoint(format) => {
                geo::geopoint(*format, text).map(|(lon, lat)| Value::Geo(lon, lat))
            }
        }
    }

    /// The value of an object, an array or a place.
    fn of_json(&self, value: Json) -> Option<Value> {
        let fine = match self {
            FieldType::Object => value.is_object(),
            FieldType::Array => value.is_array(),
            FieldType::GeoJson { topology: false } => geo::is_geojson(&value),
            FieldType::GeoJson { topology: true } => geo::is_topojson(&value),
            _ => false,
        };
        fine.then_some(Value::Json(value))
    }

    /// Reads a value of a JSON record; none where it is not of this type. A string is read as a cell is.
    pub(crate) fn read_json(&self, value: &Json) -> Option<Value> {
        match (self, value) {
            (FieldType::Any, _) => Some(Value::Json(value.clone())),
            (_, Json::String(text)) => self.read(text, true),
            (FieldType::Integer(_) | FieldType::Year, Json::Number(number)) => {
                let read = json_number(true).read(&number.to_string())?;
                match (self, &read) {
                    (_, Number::Finite(decimal)) if !decimal.is_whole() => None,
                    (FieldType::Year, Number::Finite(decimal)) => {
                        decimal.scaled(0).filter(|year| (0..=9999).contains(year)).map(Value::Point)
                    }
                    _ => Some(Value::Number(read)),
                }
            }
            (FieldType::Number(_), Json::Number(number)) => {
                json_number(true).read(&number.to_string()).map(Value::Number)
            }
            (FieldType::Boolean { .. }, Json::Bool(is)) => Some(Value::Bool(*is)),
            (FieldType::GeoPoint(format), value) => {
                geo::geopoint_of(*format, value).map(|(lon, lat)| Value::Geo(lon, lat))
            }
            (FieldType::List { item, .. }, Json::Array(list)) => {
                read_list(list.iter(), |part| Some((as_text(part), item.read_json(part)?)))
            }
            (_, value) => self.of_json(value.clone()),
        }
    }

    /// What a cell should be, for people: "an integer".
    pub(crate) fn expected(&self) -> String {
        let text = match self {
            FieldType::Any => "a value",
            FieldType::String(StringFormat::Default) => "a string",
            FieldType::String(StringFormat::Email) => "an email address",
            FieldType::String(StringFormat::Uri) => "a URI",
            FieldType::String(StringFormat::Uuid) => "a UUID",
            FieldType::String(StringFormat::Binary) => "base64",
            FieldType::Integer(_) => "an integer",
            FieldType::Number(_) => "a number",
            FieldType::Boolean { yes, no } => {
                return format!("a boolean ({} or {})", yes.join(", "), no.join(", "));
            }
            FieldType::Moment(moment, format) => return moment.expected(format),
            FieldType::Year => "a year (YYYY)",
            FieldType::YearMonth => "a month (YYYY-MM)",
            FieldType::Duration => "a duration (ISO 8601, such as P1DT2H)",
            FieldType::Object => "a JSON object",
            FieldType::Array => "a JSON array",
            FieldType::List { delimiter, item } => {
                return format!("a list by {delimiter:?} of which each item is {}", item.expected());
            }
            FieldType::GeoPoint(GeoFormat::Default) => "a geopoint (lon, lat)",
            FieldType::GeoPoint(_) => "a geopoint (JSON of lon and lat)",
            FieldType::GeoJson { topology: false } => "a GeoJSON object",
            FieldType::GeoJson { topology: true } => "a TopoJSON object",
        };
        text.to_owned()
    }
}

/// A number as JSON writes it.
pub(crate) fn json_number(decimals: bool) -> NumberFormat {
    NumberFormat { bare: true, group: None, decimal: decimals.then(|| ".".to_owned()) }
}

/// A JSON value as the text that a cell of it would be.
pub(crate) fn as_text(value: &Json) -> Cow<'_, str> {
    match value {
        Json::String(text) => Cow::Borrowed(text),
        Json::Null => Cow::Borrowed(""),
        other => Cow::Owned(other.to_string()),
    }
}

fn read_list<T, S: AsRef<str>>(
    parts: impl Iterator<Item = T>,
    read: impl Fn(T) -> Option<(S, Value)>,
) -> Option<Value> {
    let (mut keys, mut count, mut key) = (Vec::new(), 0, Vec::new());
    for part in parts {
        let (text, value) = read(part)?;
        key.clear();
        value.key(text.as_ref(), &mut key);
        keys.extend_from_slice(&key.len().to_be_bytes());
        keys.extend_from_slice(&key);
        count += 1;
    }
    Some(Value::List(keys, count))
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
            Value::Span(span) => span.key(into),
            Value::Json(Json::String(text)) => into.extend_from_slice(text.as_bytes()),
            Value::Json(value) => into.extend_from_slice(sorted(value).to_string().as_bytes()),
            Value::List(keys, _) => into.extend_from_slice(keys),
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
            (Value::Span(a), Value::Span(b)) => a.compare(b),
            _ => None,
        }
    }

    /// How long it is, and in what.
    fn length(&self, text: &str) -> (usize, &'static str) {
        match self {
            Value::Json(Json::Array(list)) => (list.len(), "items"),
            Value::Json(Json::Object(map)) => (map.len(), "members"),
            Value::List(_, count) => (*count, "items"),
            _ => (text.chars().count(), "characters"),
        }
    }
}

/// The value with its objects' names in one order.
fn sorted(value: &Json) -> Json {
    match value {
        Json::Array(list) => Json::Array(list.iter().map(sorted).collect()),
        Json::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            Json::Object(members.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        other => other.clone(),
    }
}

impl Field {
    /// Whether the cell stands for no value.
    pub(crate) fn is_missing(&self, text: &str) -> bool {
        self.missing.iter().any(|word| word == text)
    }

    /// Whether the value is asked for, beyond its type.
    fn wanted(&self) -> bool {
        let bounds = &self.constraints;
        let compared = [&bounds.minimum, &bounds.maximum, &bounds.above, &bounds.below];
        self.keyed || bounds.allowed.is_some() || compared.iter().any(|bound| bound.is_some())
    }

    /// Reads a cell that is not missing.
    ///
    /// # Errors
    /// What it is not, for people.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        self.kind.read(text, self.wanted()).ok_or_else(|| self.refusal(text))
    }

    /// Reads a value of a JSON record that is not missing.
    ///
    /// # Errors
    /// What it is not, for people.
    pub(crate) fn read_json(&self, value: &Json) -> Result<Value, String> {
        self.kind.read_json(value).ok_or_else(|| self.refusal(&as_text(value)))
    }

    fn refusal(&self, text: &str) -> String {
        format!("{} is not {}", shown(text), self.kind.expected())
    }

    /// Says each constraint that the value breaks.
    pub(crate) fn broken(&self, text: &str, value: &Value, mut say: impl FnMut(String)) {
        use Ordering::{Equal, Greater, Less};
        let bounds = &self.constraints;
        for (bound, fine, what) in [
            (&bounds.minimum, [Greater, Equal], "below the minimum"),
            (&bounds.maximum, [Less, Equal], "above the maximum"),
            (&bounds.above, [Greater, Greater], "not above the exclusiveMinimum"),
            (&bounds.below, [Less, Less], "not below the exclusiveMaximum"),
        ] {
            let Some((written, bound)) = bound else { continue };
            if !value.compare(bound).is_some_and(|order| fine.contains(&order)) {
                say(format!("{} is {what} {written}", shown(text)));
            }
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
        if let (Some(schema), Value::Json(value)) = (&bounds.json_schema, value) {
            for error in schema.iter_errors(value) {
                say(format!("at {:?}: {}", error.instance_path().as_str(), error.masked()));
            }
        }
    }

    fn broken_length(&self, text: &str, value: &Value, say: &mut impl FnMut(String)) {
        let (length, unit) = value.length(text);
        if let Some(least) = self.constraints.min_length.filter(|least| length < *least) {
            say(format!("{} has {length} {unit}, fewer than minLength {least}", shown(text)));
        }
        if let Some(most) = self.constraints.max_length.filter(|most| length > *most) {
            say(format!("{} has {length} {unit}, more than maxLength {most}", shown(text)));
        }
    }
}
