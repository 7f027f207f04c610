//! The built-in apps by name.

use crate::app::RowApp;
use crate::config::parse_config;
use crate::{
    Enricher, Exporter, Importer, Transformer, Validator, enricher, exporter, importer, transformer,
    validator,
};
use handover_core::suggest::nearest;
use handover_core::{Error, Result};
use schemars::{Schema, schema_for};
use serde_json::Value;
use std::path::Path;

/// A built-in app: what `uses:` and `handover app` name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BuiltIn {
    /// Takes files from folders.
    FileImporter,
    /// Checks rows against a schema.
    Validator,
    /// Makes other columns and other formats of rows.
    Transformer,
    /// Adds columns.
    Enricher,
    /// Writes files to a folder.
    FileExporter,
}

impl BuiltIn {
    /// All of them, in the order in which a file usually meets them.
    pub const ALL: [BuiltIn; 5] = [
        BuiltIn::FileImporter,
        BuiltIn::Validator,
        BuiltIn::Transformer,
        BuiltIn::Enricher,
        BuiltIn::FileExporter,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            BuiltIn::FileImporter => "file-importer",
            BuiltIn::Validator => "validator",
            BuiltIn::Transformer => "data-transformer",
            BuiltIn::Enricher => "enricher",
            BuiltIn::FileExporter => "file-exporter",
        }
    }

    /// What it does, in a line.
    pub fn description(self) -> &'static str {
        match self {
            BuiltIn::FileImporter => {
                "Takes files that arrive in a folder, once each and only when they are complete"
            }
            BuiltIn::Validator => {
                "Checks rows against a Table Schema or records against a JSON Schema; good ones pass, bad ones get a reason"
            }
            BuiltIn::Transformer => {
                "Converts between formats; selects, renames, casts, filters, computes, sorts and deduplicates"
            }
            BuiltIn::Enricher => "Adds columns from reference files and columns calculated by CEL",
            BuiltIn::FileExporter => {
                "Writes files to folders, in any format, compressed or split, and verifies them"
            }
        }
    }

    /// The JSON Schema of its `with:`.
    pub fn config_schema(self) -> Schema {
        match self {
            BuiltIn::FileImporter => schema_for!(importer::Config),
            BuiltIn::Validator => schema_for!(validator::Config),
            BuiltIn::Transformer => schema_for!(transformer::Config),
            BuiltIn::Enricher => schema_for!(enricher::Config),
            BuiltIn::FileExporter => schema_for!(exporter::Config),
        }
    }

    /// Reads its `with:` and compiles it; paths are relative to `base`. This is what `handover check` tries.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] naming the key, or what reading a schema or a reference gives.
    pub fn build(self, with: &Value, base: &Path) -> Result<Box<dyn RowApp>> {
        let name = self.name();
        Ok(match self {
            BuiltIn::FileImporter => Box::new(Importer::new(&parse_config(name, with)?, base)?),
            BuiltIn::Validator => Box::new(Validator::new(&parse_config(name, with)?, base)?),
            BuiltIn::Transformer => Box::new(Transformer::new(&parse_config(name, with)?, base)?),
            BuiltIn::Enricher => Box::new(Enricher::new(&parse_config(name, with)?, base)?),
            BuiltIn::FileExporter => Box::new(Exporter::new(&parse_config(name, with)?)?),
        })
    }
}

/// The built-in app of this name.
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] for any other name, with the nearest known one.
pub fn built_in(name: &str) -> Result<BuiltIn> {
    if let Some(app) = BuiltIn::ALL.into_iter().find(|app| app.name() == name) {
        return Ok(app);
    }
    let error = Error::config(format!("{name:?} is not a built-in app"));
    let names = BuiltIn::ALL.map(BuiltIn::name);
    Err(match nearest(name, names) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint(format!("built-in apps are {}", names.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_app_has_its_name() {
        for app in BuiltIn::ALL {
            assert_eq!(built_in(app.name()).unwrap(), app);
            let schema = app.config_schema();
            assert_eq!(schema.get("additionalProperties"), Some(&json!(false)), "{}", app.name());
        }
        assert_eq!(built_in("validater").unwrap_err().hint_text(), Some("did you mean validator?"));
    }

    #[test]
    fn a_wrong_key_is_named() {
        let error = BuiltIn::Validator.build(&json!({ "shema": "x" }), Path::new(".")).err().unwrap();
        assert!(error.to_string().contains("shema"), "{error}");
        assert_eq!(error.hint_text(), Some("did you mean schema?"));
    }
}
