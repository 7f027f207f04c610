//! The enricher's configuration.

use crate::config::{TextMap, text_map};
use crate::streams::{InputConfig, OutputConfig};
use handover_records::Compression;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// The configuration of an enricher.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the input is read, where its extension does not say it.
    #[serde(default)]
    pub input: InputConfig,
    /// How the output is compressed; by default as the input.
    #[serde(default)]
    pub output: Output,
    /// Columns taken from reference files, in this order.
    #[serde(default)]
    pub lookups: Vec<Lookup>,
    /// Columns that say something of all rows with the same key, in this order. The input is read twice for them.
    #[serde(default, deserialize_with = "one_or_more")]
    #[schemars(with = "OneOrMoreAggregates")]
    pub aggregate: Vec<Aggregate>,
    /// Columns that are calculated: `column: CEL`, in this order. A cell is text, so write `double(price)`; a later
    /// expression may use the columns of lookups, of aggregates and of earlier expressions. Numbers are written as their
    /// shortest text: `2.5`, `3`.
    #[serde(default)]
    pub compute: TextMap,
}

/// How the output is written. Its format and dialect are the input's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// How it is compressed: `none`, `gzip` or `zstd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// How hard: 0 to 12 for gzip (4), 1 to 22 for zstd (3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<i32>,
}

impl Output {
    /// The same in the words that all apps share.
    pub(super) fn config(&self) -> OutputConfig {
        OutputConfig { compression: self.compression, level: self.level, ..OutputConfig::default() }
    }

    /// What does not go together.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] naming the key.
    pub(super) fn check(&self) -> handover_core::Result<()> {
        self.config().check()
    }
}

/// Columns taken from one reference file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The reference file: CSV, NDJSON or a JSON array, compressed or not; its path is relative to the configuration. It
    /// is read again when it has changed.
    pub from: PathBuf,
    /// How the reference is read, where its extension does not say it.
    #[serde(default)]
    pub input: InputConfig,
    /// The column that both files have, or `{ ours: theirs }` for one or more.
    pub key: Pairs,
    /// The columns to take, or `{ ours: theirs }` to give them other names.
    pub take: Pairs,
    /// `left` keeps rows whose key the reference does not have, `inner` does not: it rejects them, unless `unmatched` is
    /// `filter`.
    #[serde(default)]
    pub join: Join,
    /// What becomes of a row whose key the reference does not have: `keep` gives the new columns their default, `reject`
    /// rejects the row, `filter` leaves it out. All are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmatched: Option<Unmatched>,
    /// What the new columns hold in a row whose key the reference does not have: `{ column: value }`. Empty by default,
    /// and null in JSON.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub default: Map<String, Value>,
    /// What to do where a key stands in the reference more than once.
    #[serde(default)]
    pub duplicates: Duplicates,
}

/// Whether a row without a match stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Join {
    /// It stays.
    #[default]
    Left,
    /// It does not.
    Inner,
}

/// What becomes of a row whose key a reference does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unmatched {
    /// It passes, its new columns empty or as `default` says.
    #[default]
    Keep,
    /// It is rejected.
    Reject,
    /// It is left out, and counted.
    Filter,
}

/// What to do where a key stands in a reference more than once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// The reference is refused, with both rows named.
    #[default]
    Error,
    /// The first one counts.
    First,
    /// The last one counts.
    Last,
}

/// Columns that say something of all rows with the same key. All rows of the file that can be read take part, whatever
/// becomes of them here.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// The columns that make the key: a name or a list of names. Empty for one group of all rows.
    #[serde(default)]
    pub by: Names,
    /// The new columns: `{ column: "sum(distance)" }`, with `count()`, `count(x)` (cells that are not empty), `sum(x)`,
    /// `mean(x)`, `min(x)` and `max(x)`. Empty cells do not count; what is no number rejects its row.
    pub columns: TextMap,
}

/// One aggregate or a list of them, as the JSON Schema says it.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum OneOrMoreAggregates {
    One(Aggregate),
    More(Vec<Aggregate>),
}

/// One aggregate or a list of them; errors name the key inside.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Aggregate>, D::Error> {
    struct Aggregates;
    impl<'de> Visitor<'de> for Aggregates {
        type Value = Vec<Aggregate>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an aggregate { by, columns } or a list of them")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Ok(vec![Aggregate::deserialize(MapAccessDeserializer::new(map))?])
        }
    }
    deserializer.deserialize_any(Aggregates)
}

/// A name or a list of names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(transparent)]
pub struct Names(#[schemars(with = "OneOrMore")] pub Vec<String>);

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Names(match OneOrMore::deserialize(deserializer)? {
            OneOrMore::One(name) => vec![name],
            OneOrMore::More(names) => names,
        }))
    }
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
