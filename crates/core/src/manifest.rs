//! The manifest: the JSON file beside every data file, and the mark that the data file is complete.
//!
//! Invariant: a data file without a manifest does not exist for anyone. The field order is the contract's, so
//! that people find what they look for; fields that this version does not know are kept.

use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::id::unhex;
use crate::name::{AppName, FileName};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;

/// The manifest version that this Handover writes; it reads every `v1.x` and `v2.x`.
pub const SCHEMA_VERSION: &str = "v2.0";
const NEWEST_MAJOR: u32 = 2;

/// A SHA-256 checksum, written `sha256:` and 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum(pub [u8; 32]);

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Checksum {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let refuse = || {
            Error::bad_data(format!("{text:?} is not a checksum"))
                .hint("a checksum is sha256: and 64 hex digits")
        };
        text.strip_prefix("sha256:").and_then(unhex).map(Self).ok_or_else(refuse)
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a manifest says of its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The data file's name, in the same folder.
    pub filename: String,
    /// When it was published, RFC 3339.
    #[serde(serialize_with = "write_time")]
    pub created_at: Timestamp,
    /// The app that wrote it.
    pub created_by: AppName,
    /// CSV records less the header, NDJSON lines, a JSON array's length, else null.
    #[serde(default)]
    pub row_count: Option<u64>,
    /// Its size in bytes.
    pub file_size: u64,
    /// Its SHA-256.
    pub checksum: Checksum,
    /// The version of this manifest's own form.
    #[serde(default = "first_version")]
    pub schema_version: String,
    /// The app it goes to; null at the end of a flow. Where it goes to several, the first.
    #[serde(default)]
    pub next_app: Option<AppName>,
    /// All the apps it goes to, where they are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_apps: Vec<AppName>,
    /// The number of the delivery that this file is, in the ledger that wrote it. Of several, the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// The deliveries that it was made from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// The first of `flows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The flows that it belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<String>,
    /// Rows of the input that were rejected on the way to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_rejected: Option<u64>,
    /// The W3C trace context, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The delivery of which this is a replay, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
    /// The identity of the ledger that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<String>,
    /// Whatever else it says.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

fn first_version() -> String {
    "v1.0".to_owned()
}

fn write_time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

/// Whether this version reads manifests of that one.
fn check_version(version: &str) -> Result<()> {
    let major = version.strip_prefix('v').unwrap_or(version).split('.').next().unwrap_or("");
    match major.parse::<u32>() {
        Ok(major) if major <= NEWEST_MAJOR => Ok(()),
        Ok(_) => Err(Error::bad_data(format!(
            "the manifest has schema_version {version}, and this Handover knows up to {SCHEMA_VERSION}"
        ))
        .hint("update Handover on this machine, or write the manifest in the older form")),
        Err(_) => Err(Error::bad_data(format!("the manifest's schema_version {version:?} is not a version"))),
    }
}

impl Manifest {
    /// Reads a manifest and checks it: the version is one we know, the file's name is a plain name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::BadData`] where it is not such JSON, comes from a newer version, or names a path.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| Self::why_not(bytes, &e))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Why these bytes are no manifest. A newer version may have other fields, so that is looked at first.
    fn why_not(bytes: &[u8], error: &serde_json::Error) -> Error {
        let hint =
            "a manifest is a JSON object with filename, created_at, created_by, file_size and checksum";
        match serde_json::from_slice::<Value>(bytes) {
            Err(_) => Error::bad_data("the manifest is not JSON").because(error.to_string()).hint(hint),
            Ok(value) => {
                let version = value.get("schema_version").and_then(Value::as_str);
                version.and_then(|version| check_version(version).err()).unwrap_or_else(|| {
                    Error::bad_data("the manifest is not what it should be")
                        .because(error.to_string())
                        .hint(hint)
                })
            }
        }
    }

    fn check(&self) -> Result<()> {
        check_version(&self.schema_version)?;
        let plain = !self.filename.is_empty()
            && !self.filename.contains(['/', '\0', '\\'])
            && self.filename != "."
            && self.filename != "..";
        if plain {
            Ok(())
        } else {
            Err(Error::bad_data(format!(
                "the manifest names {:?}, which is not a plain file name",
                self.filename
            )))
        }
    }

    /// The manifest as it is written: indented JSON with a line end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Its file's name, read by the convention.
    ///
    /// # Errors
    /// [`crate::ErrorKind::BadData`] where the name does not follow it.
    pub fn file_name(&self) -> Result<FileName> {
        self.filename.parse()
    }

    /// All the apps that the file goes to, first one first.
    pub fn targets(&self) -> Vec<AppName> {
        if self.next_apps.is_empty() {
            self.next_app.iter().cloned().collect()
        } else {
            self.next_apps.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{ "filename": "file-importer_sales_2025-11-24_001.csv", "created_at": "2025-11-24T10:30:00Z",
        "created_by": "file-importer", "row_count": 10000, "file_size": 1048576,
        "checksum": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "schema_version": "v2.0", "next_app": "validator", "department": "north" }"#;

    #[test]
    fn a_manifest_is_read_and_written_with_what_it_does_not_know() {
        let manifest = Manifest::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(manifest.more["department"], "north");
        let again = Manifest::parse(manifest.to_json().as_bytes()).unwrap();
        assert_eq!(again, manifest);
        let keys: Vec<String> = serde_json::from_str::<Map<String, Value>>(&manifest.to_json())
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(
            keys[..8],
            [
                "filename",
                "created_at",
                "created_by",
                "row_count",
                "file_size",
                "checksum",
                "schema_version",
                "next_app"
            ]
        );
    }

    #[test]
    fn a_future_version_a_path_and_rubbish_are_refused() {
        for (from, to, why) in [
            ("v2.0", "v3.0", "knows up to v2.0"),
            ("v2.0", "new", "not a version"),
            ("file-importer_sales_2025-11-24_001.csv", "../secret.csv", "plain file name"),
            ("sha256:e3", "md5:e3", "checksum"),
            ("10000", "-1", "manifest"),
        ] {
            let error = Manifest::parse(EXAMPLE.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{to}: {error}");
        }
        assert!(Manifest::parse(b"\0\xff").is_err());
    }
}
