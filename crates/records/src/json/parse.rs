//! Reading one record: checked for names that come twice and for depth, as a value, as raw fields, or only checked.
//!
//! Invariant: recursion ends at [`JSON_DEPTH_MAX`] levels, which is serde_json's own limit.

use handover_core::limits::{JSON_DEPTH_MAX, ROW_MAX_BYTES};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is no JSON, or holds a number that no double can.
    NotJson,
    /// Its arrays and objects lie too deep in one another.
    TooDeep,
    /// A name comes twice in an object.
    DuplicateKey,
    /// It is longer than the limit; only its beginning was kept.
    TooLong,
    /// A byte is not UTF-8.
    NotUtf8,
}

impl Fault {
    /// What is wrong, for people.
    pub fn message(self) -> String {
        match self {
            Fault::NotJson => "it is not JSON".to_owned(),
            Fault::TooDeep => format!("it is nested more than {JSON_DEPTH_MAX} levels deep"),
            Fault::DuplicateKey => "a name comes twice in an object".to_owned(),
            Fault::TooLong => {
                format!("it is longer than {ROW_MAX_BYTES} bytes; only its beginning is kept here")
            }
            Fault::NotUtf8 => "it holds characters that cannot be read in the file's encoding".to_owned(),
        }
    }
}

/// A fault with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What sort of fault.
    pub fault: Fault,
    /// What is wrong and where, for people.
    pub message: String,
}

impl Problem {
    /// A fault of which nothing more is known.
    pub fn of(fault: Fault) -> Self {
        Self { fault, message: fault.message() }
    }

    fn read(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        // Only our own visitors report errors of data.
        let fault = if error.is_data() {
            Fault::DuplicateKey
        } else if text.starts_with("recursion limit exceeded") {
            Fault::TooDeep
        } else {
            Fault::NotJson
        };
        let place = format!("at column {}", error.column());
        let what = text.split(" at line ").next().unwrap_or_default();
        let message = match fault {
            Fault::TooDeep => format!("{}, {place}", fault.message()),
            Fault::DuplicateKey => format!("{what}, {place}"),
            _ => format!("{}: {what}, {place}", fault.message()),
        };
        Self { fault, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn text(raw: &[u8]) -> Result<&str, Problem> {
    simdutf8::basic::from_utf8(raw).map_err(|_| Problem::of(Fault::NotUtf8))
}

fn read<'de, S: DeserializeSeed<'de>>(raw: &'de [u8], seed: S) -> Result<S::Value, Problem> {
    let mut json = serde_json::Deserializer::from_str(text(raw)?);
    let value = seed.deserialize(&mut json).map_err(|error| Problem::read(&error))?;
    json.end().map_err(|error| Problem::read(&error))?;
    Ok(value)
}

/// The record as a value.
///
/// # Errors
/// What is wrong with it.
pub fn parse(raw: &[u8]) -> Result<Value, Problem> {
    read(raw, Build)
}

/// Checks a record, without building anything.
///
/// # Errors
/// What is wrong with it.
pub fn check(raw: &[u8]) -> Result<(), Problem> {
    read(raw, Check)
}

/// An object's fields: their names, and their values' own bytes.
pub type Fields<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The fields of a record that is an object, in their order; none for any other record. Names inside the values are
/// not looked at.
///
/// # Errors
/// What is wrong with it.
pub fn fields(raw: &[u8]) -> Result<Option<Fields<'_>>, Problem> {
    if raw.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return check(raw).map(|()| None);
    }
    read(raw, RawFields).map(Some)
}

fn twice<E: serde::de::Error>(key: &str) -> E {
    let shown: String = key.chars().take(80).collect();
    E::custom(format_args!("the name {shown:?} comes twice in an object"))
}

/// The names of one object so far: a list while they are few, which is nearly always.
#[derive(Default)]
struct Names<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

const NAMES_FEW: usize = 32;

impl<'de> Names<'de> {
    /// Adds a name; false where it was there.
    fn add(&mut self, name: Cow<'de, str>) -> bool {
        if self.many.is_empty() && self.few.len() < NAMES_FEW {
            let new = !self.few.contains(&name);
            self.few.push(name);
            return new;
        }
        self.many.extend(self.few.drain(..));
        self.many.insert(name)
    }
}

/// A name, lent where it has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Reads anything into a value.
#[derive(Clone, Copy)]
struct Build;

impl<'de> DeserializeSeed<'de> for Build {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(twice(&key));
            }
            let value = map.next_value_seed(self)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// Reads anything and keeps nothing.
#[derive(Clone, Copy)]
struct Check;

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element_seed(self)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = Names::default();
        while let Some(Name(name)) = map.next_key()? {
            if !names.add(name.clone()) {
                return Err(twice(&name));
            }
            map.next_value_seed(self)?;
        }
        Ok(())
    }
}

/// Reads an object's fields, their values as they stand.
struct RawFields;

impl<'de> DeserializeSeed<'de> for RawFields {
    type Value = Fields<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RawFields {
    type Value = Fields<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut names = Names::default();
        let mut fields = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            if !names.add(name.clone()) {
                return Err(twice(&name));
            }
            fields.push((name, map.next_value::<&RawValue>()?));
        }
        Ok(fields)
    }
}
