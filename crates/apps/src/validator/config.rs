//! The configuration of a validator, and reading its schema's file. On a crash nothing is lost: it only reads.

use super::rules::Rule;
use super::whole::TableConfig;
use crate::streams::{InputConfig, OutputConfig};
use handover_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The configuration of a validator.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The schema: a path, relative to the configuration, or the schema itself. A Frictionless Table Schema for tables (and
    /// records), or a JSON Schema for JSON records.
    pub schema: SchemaSource,
    /// The share of bad rows, from 0.0 to 1.0, above which the whole file goes to quarantine. 1.0, the default, is never.
    #[serde(default = "never")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_error_rate: f64,
    /// How many examples of errors the report has.
    #[serde(default = "ten")]
    pub examples: usize,
    /// Conditions that a good row fulfils, in CEL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Checks of the table as a whole; what does not hold refuses the whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableConfig>,
    /// The files that the schema's foreign keys refer to, by the name of their resource: CSV, NDJSON or JSON, compressed or
    /// not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, PathBuf>,
    /// How the input is read. By default its extension says the format.
    #[serde(default)]
    pub input: InputConfig,
    /// How the output is compressed; by default as the input. Rows pass as they came, so there is no other choice.
    #[serde(default)]
    pub output: OutputConfig,
}

fn never() -> f64 {
    1.0
}

fn ten() -> usize {
    10
}

/// Where a schema comes from.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected the path of a schema, or a schema as an object")]
pub enum SchemaSource {
    /// A JSON file.
    Path(PathBuf),
    /// The schema itself.
    Inline(Map<String, Value>),
}

/// The most examples that a report may have.
const EXAMPLES_MAX: usize = 10_000;
/// The largest schema that is read.
const SCHEMA_MAX_BYTES: u64 = 16 * 1024 * 1024;

impl Config {
    /// What is wrong with it by itself.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] naming the key.
    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.max_error_rate) {
            let why = format!("max_error_rate is {}, which is not between 0.0 and 1.0", self.max_error_rate);
            return Err(Error::config(why).hint("write 5% as 0.05"));
        }
        if self.examples > EXAMPLES_MAX {
            return Err(Error::config(format!("examples is {}, more than {EXAMPLES_MAX}", self.examples)));
        }
        let OutputConfig { format, dialect, quoting, compression: _, level: _ } = &self.output;
        if format.is_some() || dialect.is_some() || quoting.is_some() {
            return Err(Error::config(
                "output: the validator passes rows as they came; only compression can be said",
            )
            .hint("a data-transformer behind it converts"));
        }
        self.output.check()
    }
}

impl SchemaSource {
    /// The schema's bytes and what it is called.
    ///
    /// # Errors
    /// What reading its file gives.
    pub(super) fn read(&self, base: &Path) -> Result<(Vec<u8>, String)> {
        match self {
            SchemaSource::Path(path) => {
                Ok((read_file(&crate::config::resolve(base, path))?, path.display().to_string()))
            }
            SchemaSource::Inline(map) => {
                Ok((Value::Object(map.clone()).to_string().into_bytes(), "inline".to_owned()))
            }
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let length = std::fs::metadata(path).map_err(|error| no_schema(path, error))?.len();
    if length > SCHEMA_MAX_BYTES {
        return Err(
            Error::config(format!("the schema is larger than {SCHEMA_MAX_BYTES} bytes")).on(path.display())
        );
    }
    std::fs::read(path).map_err(|error| no_schema(path, error))
}

fn no_schema(path: &Path, error: std::io::Error) -> Error {
    Error::io("read the schema", path.display(), error)
        .hint("`schema:` is a path relative to the configuration's folder")
}
