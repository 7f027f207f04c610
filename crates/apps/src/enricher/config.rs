//! The enricher's configuration.

use crate::config::{TextMap, text_map};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// The configuration of an enricher.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns taken from reference files, in this order.
    #[serde(default)]
    pub lookups: Vec<Lookup>,
    /// Columns that are calculated: `column: CEL`, in this order. A cell is text, so write `double(price)`; a later
    /// expression may use the columns of lookups and of earlier expressions. Numbers are written as their shortest
    /// text: `2.5`, `3`.
    #[serde(default)]
    pub compute: TextMap,
}

/// Columns taken from one reference file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The reference file, a CSV; its path is relative to the configuration. It is read again when it has changed.
    pub from: PathBuf,
    /// The column that both files have, or `{ ours: theirs }` for one or more.
    pub key: Pairs,
    /// The columns to take, or `{ ours: theirs }` to give them other names.
    pub take: Pairs,
    /// What becomes of a row whose key the reference does not have: `keep` leaves the new columns empty, `reject`
    /// rejects the row. Both are counted.
    #[serde(default)]
    pub unmatched: Unmatched,
}

/// What becomes of a row whose key a reference does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unmatched {
    /// It passes, with empty columns.
    #[default]
    Keep,
    /// It is rejected.
    Reject,
}

/// Columns of ours with those of theirs: a name, a list of names, or `{ ours: theirs }`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pairs(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column, a list of columns, or a map { ours: theirs }")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Pairs, E> {
                Ok(Pairs(vec![(name.to_owned(), name.to_owned())]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Pairs, A::Error> {
                let mut pairs: Vec<(String, String)> = Vec::new();
                while let Some(name) = list.next_element::<String>()? {
                    if pairs.iter().any(|(known, _)| *known == name) {
                        return Err(serde::de::Error::custom(format!("{name:?} is given twice")));
                    }
                    pairs.push((name.clone(), name));
                }
                Ok(Pairs(pairs))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pairs, A::Error> {
                text_map(map).map(|map| Pairs(map.0))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TextMap(self.0.clone()).serialize(serializer)
    }
}

impl JsonSchema for Pairs {
    fn schema_name() -> Cow<'static, str> {
        "Columns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A column, a list of columns, or a map { ours: theirs }.",
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } },
                { "type": "object", "additionalProperties": { "type": "string" } }
            ]
        })
    }
}
