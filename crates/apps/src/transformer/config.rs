//! The data-transformer's configuration: the keys of `with:`, and of a mapping file.

use crate::config::TextMap;
use crate::streams::{InputConfig, OutputConfig};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

/// The configuration of a data-transformer. What is done to a record is done in the order of the keys: renamed first
/// (all other keys use the new names), then split, parsed, filled with defaults, cast, joined, computed, filtered,
/// selected; last duplicates are left out and the records sorted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A file, YAML or JSON, that holds the keys below; what is given here too goes before it. Its path is relative to
    /// the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<PathBuf>,
    /// How the input is read, where its extension does not say it.
    #[serde(default)]
    pub input: InputConfig,
    /// How the output is written: `{ format: ndjson, compression: gzip }`. What is not said is as in the input.
    #[serde(default)]
    pub output: OutputConfig,
    /// Texts that mean that a field has no value: in JSON it is null, in a table the cell is empty. The empty text alone
    /// unless it says otherwise.
    #[serde(default = "only_empty")]
    pub missing: Vec<String>,
    /// Whether white space around the texts of a table's cells is cut off.
    #[serde(default)]
    pub trim: bool,
    /// Whether fields of a table that are not cast become numbers and booleans in JSON when they look like it. Text stays
    /// what could lose something: leading zeros, plus signs, exponents, more than 15 digits.
    #[serde(default)]
    pub infer: bool,
    /// Whether objects inside JSON records become fields of their own, with dotted names such as `address.city`. True
    /// where the output is a table, else false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flatten: Option<bool>,
    /// Whether fields with dotted names become objects in JSON: `address.city` goes into `address`.
    #[serde(default)]
    pub nest: bool,
    /// Fields that get another name: `old: new`.
    #[serde(default)]
    pub rename: TextMap,
    /// Fields that are split into several: `name: { by: " ", into: [first, last] }`.
    #[serde(default)]
    pub split: Named<Split>,
    /// Fields that hold numbers as other countries write them: `price: { decimal: ",", group: "." }`. They become numbers.
    #[serde(default)]
    pub numbers: Named<Numbers>,
    /// Fields that hold dates or times in other forms, by a pattern as `strptime` has it: `when: "%d.%m.%Y"`. They become
    /// ISO 8601.
    #[serde(default)]
    pub dates: Named<Dates>,
    /// Values for fields that have none: `country: DE`. A field that the input does not have at all is added.
    #[serde(default)]
    pub defaults: Named<Scalar>,
    /// The fields' types: `quantity: integer`. A record of which a field does not fit is rejected.
    #[serde(default)]
    pub cast: Named<Type>,
    /// Fields that are put together from several: `address: { from: [street, city], with: ", " }`. Those without a value
    /// are left out.
    #[serde(default)]
    pub join: Named<Join>,
    /// Fields that are calculated: `total: CEL`, in this order. A table's fields are text, so write `double(price)`.
    #[serde(default)]
    pub compute: TextMap,
    /// A CEL condition: records for which it is false are left out, and counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Fields that are not written.
    #[serde(default)]
    pub drop: Vec<String>,
    /// The fields that are written, in this order; all of them, unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<Vec<String>>,
    /// Of records that agree in these fields only one is written: `[id]`, or `{ by: [id], keep: last }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduplicate: Option<Deduplicate>,
    /// The fields to sort by: `[date, { by: price, order: desc }]`.
    #[serde(default)]
    pub sort: Vec<SortKey>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mapping: None,
            input: InputConfig::default(),
            output: OutputConfig::default(),
            missing: only_empty(),
            trim: false,
            infer: false,
            flatten: None,
            nest: false,
            rename: TextMap::default(),
            split: Named::default(),
            numbers: Named::default(),
            dates: Named::default(),
            defaults: Named::default(),
            cast: Named::default(),
            join: Named::default(),
            compute: TextMap::default(),
            filter: None,
            drop: Vec::new(),
            select: None,
            deduplicate: None,
            sort: Vec::new(),
        }
    }
}

fn only_empty() -> Vec<String> {
    vec![String::new()]
}

/// How a field is split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The text between the parts.
    pub by: String,
    /// The fields that the parts go to, in this order. The last gets all that is left; where there are fewer parts, the
    /// rest have no value.
    pub into: Vec<String>,
}

/// How numbers are written in a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// What stands before the decimals: one character, `.` unless it says otherwise.
    #[serde(default = "point")]
    pub decimal: String,
    /// What stands between groups of digits: one character, or nothing. A space stands for any space, and an apostrophe
    /// for the typographic one too.
    #[serde(default)]
    pub group: String,
    /// Whether the number stands alone. If false, what is around it (`€`, `%`, `kg`) is left out.
    #[serde(default = "yes")]
    pub bare: bool,
}

fn point() -> String {
    ".".to_owned()
}

fn yes() -> bool {
    true
}

/// How dates or times are written in a field: a pattern, or more about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a pattern such as \"%d.%m.%Y\", or { from, language, to }")]
pub enum Dates {
    /// A pattern.
    Pattern(String),
    /// More than a pattern.
    Full(DatesFull),
}

/// How dates or times are written in a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatesFull {
    /// A pattern, or several of which the first that fits counts. All of them say the same: dates, times, or both.
    pub from: OneOrMore,
    /// The language of the names of months and days (`%B`, `%b`, `%A`, `%a`): `en`, `de`, `fr`, `es`, `it`, `pt`, `nl`,
    /// `pl`, `sv`, `da`, `no`, `fi` or `cs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The pattern to write; ISO 8601 unless it says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A text or a list of texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

/// A value that stands for itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text, a number or true or false")]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A text.
    Text(String),
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// A whole number, of any length.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`; `True`, `TRUE`, `1`, `False`, `FALSE` and `0` are taken for it.
    Boolean,
    /// Text.
    String,
    /// A date, `YYYY-MM-DD`.
    Date,
    /// A time of the day, `hh:mm:ss`, perhaps with a fraction.
    Time,
    /// A date with a time, perhaps with an offset, as ISO 8601 has it.
    Datetime,
    /// Any JSON value: it goes into JSON as it is.
    Json,
}

/// How a field is put together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The fields, in this order.
    pub from: Vec<String>,
    /// What stands between them: a space unless it says otherwise.
    #[serde(default = "space")]
    pub with: String,
}

fn space() -> String {
    " ".to_owned()
}

/// Which records are the same: the fields in which they agree, or those and which of them is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a list of fields, or { by: [fields], keep: first | last }")]
pub enum Deduplicate {
    /// The fields; the first record is kept.
    By(Vec<String>),
    /// The fields, and which record is kept.
    Full(DeduplicateFull),
}

/// Which records are the same, and which of them is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeduplicateFull {
    /// The fields in which they agree.
    pub by: Vec<String>,
    /// Which one is kept.
    #[serde(default)]
    pub keep: Keep,
}

/// Which of several records is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// The first of the input.
    #[default]
    First,
    /// The last of the input.
    Last,
}

/// A field to sort by, or more about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a field, or { by, order, as }")]
pub enum SortKey {
    /// The field, ascending.
    Field(String),
    /// The field and the order.
    Full(SortKeyFull),
}

/// A field to sort by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SortKeyFull {
    /// The field.
    pub by: String,
    /// `asc` or `desc`. Records without a value come last in both.
    #[serde(default)]
    pub order: Order,
    /// `text` compares character by character, `number` by value (what is no number comes after the numbers). By default
    /// `number` for fields that are cast to a number and for numbers of JSON, else `text`.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
}

/// Which way round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The smallest first.
    #[default]
    Asc,
    /// The greatest first.
    Desc,
}

/// As what values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compare {
    /// Character by character, by their numbers in Unicode.
    Text,
    /// By value.
    Number,
}

/// Something for each of several fields: a map that keeps its order and refuses a key that comes twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    /// What is said of this field.
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Named<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map with a key for each field")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut pairs: Vec<(String, T)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, T>()? {
                    if pairs.iter().any(|(known, _)| *known == key) {
                        return Err(serde::de::Error::custom(format!("{key:?} is given twice")));
                    }
                    pairs.push((key, value));
                }
                Ok(Named(pairs))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Fields_of_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, T>::json_schema(generator)
    }
}
