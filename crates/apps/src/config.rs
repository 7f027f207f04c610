//! Reading an app's `with:` (or `--config`): errors name the key, and the nearest known one.

use handover_core::suggest::nearest;
use handover_core::{Error, Result};
use schemars::JsonSchema;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Reads the configuration of `app` from JSON: the same keys as in `with:`.
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] naming the key, what was expected and, for an unknown key, the nearest
/// known one.
pub fn parse_config<T: DeserializeOwned>(app: &str, with: &Value) -> Result<T> {
    serde_path_to_error::deserialize(with).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner().to_string();
        let on = if path == "." { app.to_owned() } else { format!("{app}: {path}") };
        let wrong = Error::config(format!("{on}: {reason}"));
        match suggestion(&reason) {
            Some(known) => wrong.hint(format!("did you mean {known}?")),
            None => wrong.hint(format!("`handover schema` shows every key of {app}")),
        }
    })
}

/// The nearest of the words that serde's "unknown field" or "unknown variant" lists.
fn suggestion(reason: &str) -> Option<String> {
    if !reason.starts_with("unknown ") {
        return None;
    }
    let mut words = reason.split('`').skip(1).step_by(2);
    let given = words.next()?;
    nearest(given, words).map(str::to_owned)
}

/// A map of texts that keeps its order and refuses a key that comes twice: `{ours: theirs}`, `{column: expression}`.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(transparent)]
pub struct TextMap(
    #[schemars(with = "std::collections::BTreeMap<String, String>")] pub Vec<(String, String)>,
);

impl<'de> Deserialize<'de> for TextMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = TextMap;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map of texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TextMap, A::Error> {
                text_map(map)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Reads a map of texts in its order.
pub(crate) fn text_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<TextMap, A::Error> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    while let Some((key, value)) = map.next_entry::<String, String>()? {
        if pairs.iter().any(|(known, _)| *known == key) {
            return Err(serde::de::Error::custom(format!("{key:?} is given twice")));
        }
        pairs.push((key, value));
    }
    Ok(TextMap(pairs))
}

impl Serialize for TextMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// A path of the configuration, which is relative to the configuration's folder.
pub(crate) fn resolve(base: &Path, path: &Path) -> PathBuf {
    // Without the `./` that people write: these paths are shown, and kept in the ledger.
    base.join(path).components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code)]
        compression: String,
        #[serde(default)]
        compute: TextMap,
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest() {
        let with = serde_json::json!({ "compresion": "gzip" });
        let error = parse_config::<Sample>("file-exporter", &with).unwrap_err();
        assert!(error.to_string().contains("compresion"), "{error}");
        assert_eq!(error.hint_text(), Some("did you mean compression?"));
        let with = serde_json::json!({ "compression": 5 });
        let error = parse_config::<Sample>("file-exporter", &with).unwrap_err().to_string();
        assert!(error.contains("compression") && error.contains("string"), "{error}");
    }

    #[test]
    fn a_text_map_keeps_its_order_and_refuses_doubles() {
        let sample: Sample =
            serde_json::from_str(r#"{"compression":"", "compute":{"z":"1","a":"2"}}"#).unwrap();
        assert_eq!(sample.compute.0[0].0, "z");
        assert_eq!(serde_json::to_string(&sample.compute).unwrap(), r#"{"z":"1","a":"2"}"#);
        assert!(serde_json::from_str::<TextMap>(r#"{"z":"1","z":"2"}"#).is_err());
    }
}
