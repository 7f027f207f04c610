//! A table becomes records with types, by a Table Schema: what a link's `cast:` asks for when a file is split.
//!
//! Integers, numbers and booleans become those of JSON, read as the schema says they are written (`groupChar`, `decimalChar`,
//! `bareNumber`, `trueValues`, `falseValues`); all other types stay texts; missing values become null. The schema's constraints
//! are a validator's to judge. A column that the schema does not know stays text, and a field that the table lacks is left out.
//!
//! Invariant: a row of which a cell does not fit is rejected with the reason, and so is a number that JSON's readers would not keep to
//! its last digit.

use super::config::{Config, Numbers, Type};
use super::numbers::NumberRule;
use super::plan::{Parse, Plan, Rule, WordRule, named};
use super::{InputConfig, Transformer};
use crate::streams::{FormatName, OutputConfig};
use crate::validator::{FieldType, NumberFormat, SchemaSource, table_schema};
use handover_core::{Checksum, Result};
use handover_records::Compression;
use std::collections::HashMap;
use std::path::Path;

impl Transformer {
    /// Reads a Table Schema, and compiles the casts that it asks for; its path is relative to `base`. Gives the checksum of the
    /// schema with it: by another schema, other rows might be rejected.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where it is none, or asks for what cannot be, or what reading its file gives.
    pub fn casting(schema: &Path, base: &Path) -> Result<(Self, Checksum)> {
        let shown = schema.display().to_string();
        let (schema, checksum) = table_schema(&SchemaSource::Path(schema.to_owned()), base)?;
        let output = OutputConfig {
            format: Some(FormatName::Ndjson),
            compression: Some(Compression::None),
            ..OutputConfig::default()
        };
        let mut plan = Plan::new(&Config { output: output.clone(), ..Config::default() })?;
        let rules = schema.fields.iter().map(|field| {
            let bytes = |words: &[String]| words.iter().map(|word| word.clone().into_bytes()).collect();
            let (parse, cast) =
                typed(&field.kind).map_err(|e| named(&format!("field {:?}", field.name), e).on(&shown))?;
            let rule = Rule { parse, cast, missing: Some(bytes(&field.missing)), exact: true, default: None };
            Ok((field.name.clone(), rule))
        });
        plan.rules = rules.collect::<Result<HashMap<_, _>>>()?;
        plan.lenient = true;
        // What the schema does not know, it says nothing of.
        plan.missing = Vec::new();
        Ok((Self { input: InputConfig::default(), output, plan, mapping: None }, checksum))
    }
}

/// How cells of this type are read, and what they become; nothing where they stay texts.
fn typed(kind: &FieldType) -> Result<(Option<Parse>, Option<Type>)> {
    Ok(match kind {
        FieldType::Integer(format) => (number(format)?, Some(Type::Integer)),
        FieldType::Number(format) => (number(format)?, Some(Type::Number)),
        FieldType::Boolean { yes, no } => {
            let words = WordRule { yes: yes.clone(), no: no.clone() };
            (Some(Parse::Words(words)), Some(Type::Boolean))
        }
        _ => (None, None),
    })
}

/// How a number is written, where it is not as JSON writes it.
fn number(format: &NumberFormat) -> Result<Option<Parse>> {
    // An integer has none, so it is any that does not group.
    let unused = if format.group.as_deref() == Some(".") { "," } else { "." };
    let decimal = format.decimal.clone().unwrap_or_else(|| unused.to_owned());
    if format.bare && format.group.is_none() && decimal == "." {
        return Ok(None);
    }
    let group = format.group.clone().unwrap_or_default();
    NumberRule::new(&Numbers { decimal, group, bare: format.bare }).map(|rule| Some(Parse::Number(rule)))
}
